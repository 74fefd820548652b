"""What a monitoring system reads, before and after the daemon has published its status."""

from __future__ import annotations

import pytest

from tests.web.sites import READ, READ_TOKEN, ScriptedSite, status
from tests.web.test_metrics import OPENMETRICS
from tests.web.test_metrics import status as full_status


def test_metrics_before_anything_was_published_tell_the_version() -> None:
    answer = ScriptedSite().get("/metrics")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert "gearpool_build_info{" in answer.text
    assert "gearpool_workers{" not in answer.text


def test_metrics_of_the_daemon_and_of_the_job_servers_are_in_one_answer() -> None:
    site = ScriptedSite()
    site.published.update(status(**full_status()), None)
    answer = site.get("/metrics", headers={"Accept": OPENMETRICS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert 'gearpool_jobs_total{function="busy",outcome="complete"} 2.0' in answer.text
    assert "# TYPE gearman_up gauge" in answer.text
    assert answer.text.endswith("# EOF\n")


def test_the_queues_are_those_of_the_poller() -> None:
    site = ScriptedSite()
    assert site.get("/api/queues").json == site.poller.snapshot()
    assert site.get("/api/queues").json["servers"]["127.0.0.1:4730"]["error"] == "not asked yet"


@pytest.mark.parametrize("path", ["/metrics", "/api/queues"])
def test_reading_them_needs_the_token_for_reading(path: str) -> None:
    site = ScriptedSite(read_token=READ_TOKEN)
    assert site.get(path).status_code == 401
    assert site.get(path, headers=READ).status_code == 200
