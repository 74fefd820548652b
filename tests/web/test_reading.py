from __future__ import annotations

import json

import pytest

from gearpool.web.view import listed
from tests.web.sites import ScriptedSite, function, served, status

ROW = {
    "function": "work",
    "handle": "H:1",
    "unique": None,
    "server": "s:1",
    "attempt": 1,
    "state": "running",
    "age_s": 1.5,
}


def test_the_status_is_what_was_published() -> None:
    site = ScriptedSite()
    assert site.get("/api/status").status_code == 503
    site.published.update(status(host="h\udcff"), {"failures": [], "stalls": [], "forgotten": {}})
    assert site.get("/api/status").json == status(host="h\udcff")
    assert site.get("/api/failures").json == {"failures": [], "stalls": [], "forgotten": {}}


def test_jobs_come_from_the_workers_with_those_that_are_blocked() -> None:
    answers = [
        {"worker": 1, "result": [{**ROW, "progress": [1, 2]}]},
        {"worker": 2, "error": "blocked", "blocked_s": 3.5, "stacks": None, "function": "work", "handle": "H:2"},
        {"worker": 3, "error": "the process has ended"},
    ]
    site = ScriptedSite(lambda _: {"ok": True, "result": answers})
    assert site.get("/api/jobs").json == {
        "jobs": [{"worker": 1, **ROW, "progress": [1, 2]}],
        "blocked": [
            {"worker": 2, "blocked_s": 3.5, "function": "work", "handle": "H:2", "error": "blocked"},
            {"worker": 3, "blocked_s": None, "function": None, "handle": None, "error": "the process has ended"},
        ],
    }
    assert site.asked == [{"do": "jobs"}]
    assert listed([]) == {"jobs": [], "blocked": []}


def test_jobs_that_cannot_be_listed_are_an_error() -> None:
    site = ScriptedSite(lambda _: {"ok": False, "error": "stopping"})
    answer = site.get("/api/jobs")
    assert (answer.status_code, answer.json) == (503, {"ok": False, "error": "stopping"})


def test_the_history_of_all_and_of_one_function() -> None:
    site = ScriptedSite()
    assert site.get("/api/history").json["functions"] == {}
    assert site.get("/api/history", params={"function": "work"}).status_code == 404
    for second in (0.0, 10.0):
        row = function(outcomes={"complete": int(second)})
        site.published.update(status(time=second, functions={"work": row}), None)
        if second == 0.0:  # nothing is recorded yet
            assert site.get("/api/history", params={"function": "work"}).json["rate"] == []
    assert site.get("/api/history").json["functions"] == {"work": {"rate": [1.0]}}
    assert site.get("/api/history", params={"function": "work"}).json["rate"] == [1.0]


def test_the_view_is_everything_at_once() -> None:
    site = ScriptedSite(lambda _: {"ok": True, "result": []})
    assert site.get("/api/view").status_code == 503
    site.published.update(status(functions={"work": function()}), None)
    view = site.get("/api/view").json
    assert view["status"]["functions"]["work"] == function()
    assert view["rates"]["work"]["now"] == 0.0
    assert view["jobs"] == view["failures"] == {}


def test_events_begin_with_everything_and_head_does_not_wait() -> None:
    site = ScriptedSite(lambda _: {"ok": True, "result": []})
    assert site.get("/api/events").status_code == 503
    site.published.update(status(functions={"work": function()}), None)
    with served(site.app) as server:
        connection = server.http()
        connection.request("HEAD", "/api/events")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        connection.request("GET", "/api/events")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.readline() == b"event: view\n"
        assert answer.readline() == b"id: 0\n"
        document = json.loads(answer.readline().removeprefix(b"data: "))
        assert document["status"]["functions"]["work"] == function()
        assert document["rates"]["work"]["now"] == 0.0
        assert answer.readline() == b"\n"
        assert answer.readline() == b"event: change\n"
        answer.close()
        connection.close()


def test_too_many_listeners_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearpool.web.feed.MAX_LISTENERS", 0)
    site = ScriptedSite()
    site.published.update(status(), None)
    assert site.get("/api/events").status_code == 503
