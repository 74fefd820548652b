from __future__ import annotations

import dataclasses
from typing import Any

import gevent
import pytest

from gearpool.settings import ServerSettings
from gearpool.web.supervisor import NoAnswerError
from tests.processes import wait_for
from tests.web.sites import ScriptedSite, function, status

JOB = {"function": "work", "handle": "H:1", "server": "s:1", "age_s": 1.0}
LISTED = {"ok": True, "result": [{"worker": 1, "result": [JOB]}]}


def test_the_document_has_every_part() -> None:
    site = ScriptedSite(lambda _: LISTED)
    site.published.update(status(functions={"work": function()}), None)
    document = site.site.document()
    assert document["status"]["state"] == "running"
    assert list(document["jobs"]) == ["1/s:1/H:1"]
    assert document["rates"]["work"]["now"] == 0.0
    assert document["failures"] == {}
    assert document["total"]["runs_5m"] == 0
    assert list(document["queues"]["servers"]) == ["127.0.0.1:4730"]
    wait_for(lambda: gevent.sleep(0.01) or site.site.letters.counts, "the letters to be counted")


def test_a_list_of_jobs_that_takes_long_does_not_delay_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearpool.web.site.WAIT_FOR_JOBS_S", 0.01)
    answers: list[Any] = [LISTED, None]
    site = ScriptedSite(lambda _: answers.pop(0) if answers else None)
    site.published.update(status(), None)
    site.site.document()
    gevent.sleep(0.05)
    assert list(site.site.document()["jobs"]) == ["1/s:1/H:1"]
    assert list(site.site.document()["jobs"]) == ["1/s:1/H:1"]
    assert site.asked == [{"do": "jobs"}] * 2


def test_jobs_that_are_refused_are_an_error() -> None:
    site = ScriptedSite(lambda _: {"ok": False, "error": "stopping"})
    with pytest.raises(NoAnswerError, match="stopping"):
        site.site.jobs()


def test_a_reload_changes_the_servers_that_are_asked() -> None:
    site = ScriptedSite()
    settings = dataclasses.replace(site.site.settings, servers=(ServerSettings(host="other"),))
    site.site.apply(settings)
    assert list(site.site.poller.snapshot()["servers"]) == ["other:4730"]
    site.site.start()
    site.site.close()
