"""Flask under gunicorn: its three kinds of workers, the application loaded before and after the fork."""

from __future__ import annotations

import pytest

from gearpool.testing import job_server, working
from tests.applications.serving import reverses, serving


@pytest.mark.parametrize("preload", [["--preload"], []], ids=["preloaded", "loaded by each worker"])
@pytest.mark.parametrize(
    "kind",
    [["-k", "sync", "-w", "3"], ["-k", "gthread", "--threads", "4", "-w", "2"], ["-k", "gevent", "-w", "2"]],
    ids=["sync", "gthread", "gevent"],
)
def test_a_flask_application_submits_jobs_and_gets_results(kind: list[str], preload: list[str]) -> None:
    gunicorn = ["gunicorn", "tests.applications.flask_app:app", "--bind", "fd://{fd}", *kind, *preload]
    with (
        job_server() as server,
        working(server, reverse=lambda arg: arg[::-1]),
        serving(*gunicorn, server=server.address) as site,
    ):
        code, answer = site.ask("/ready")
        assert (code, answer["echo"]) == (200, "ready")
        assert (answer["pid"] != answer["loaded_in"]) is bool(preload)
        texts = [f"text {number}" for number in range(40)]
        answers = site.ask_all([reverses(text) for text in texts])
        assert [(code, answer["result"]) for code, answer in answers] == [(200, text[::-1]) for text in texts]
        assert site.ask("/several/300") == (200, [f"item {number}"[::-1] for number in range(300)])
        assert site.ask("/never")[0] == 504
        assert site.ask("/later/x", method="POST")[0] == 202
