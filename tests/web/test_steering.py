from __future__ import annotations

from typing import Any

import pytest

from gearpool.supervisor.requests import LEVELS
from gearpool.web.steering import ACTIONS
from tests.web.sites import ScriptedSite


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("pause", {"function": "work"}),
        ("pause", {"function": None}),
        ("resume", {"function": None}),
        ("resize", {"function": "work", "concurrency": 3}),
        ("kill", {"handle": "s:1/H:1"}),
        ("recycle", {"worker": 12}),
        ("recycle", {"worker": None}),
        ("reload", {}),
        ("log-level", {"level": "debug"}),
    ],
)
def test_each_action_is_a_request_of_the_same_name(name: str, body: dict[str, Any]) -> None:
    site = ScriptedSite(lambda request: {"ok": True, "result": request["do"]})
    answer = site.post(f"/api/{name}", body)
    assert (answer.status_code, answer.json) == (200, {"ok": True, "result": name})
    assert site.asked == [{"do": name, **body}]


def test_a_refusal_is_passed_on() -> None:
    site = ScriptedSite(lambda _: {"ok": False, "error": "no function 'x'"})
    answer = site.post("/api/pause", {"function": "x"})
    assert (answer.status_code, answer.json) == (409, {"ok": False, "error": "no function 'x'"})


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("pause", "", "not JSON"),
        ("pause", "{", "not JSON"),
        ("pause", "[" * 50_000, "not JSON"),
        ("pause", '{"function": ' + "9" * 5000 + "}", "not JSON"),
        ("pause", "\udcff", "not JSON"),
        ("pause", [], "must be a JSON object"),
        ("pause", {}, "must have the keys {function}"),
        ("pause", {"function": 1}, "function must be string or null"),
        ("pause", {"function": "a", "all": True}, "must have the keys {function}"),
        ("resize", {"function": "a", "concurrency": True}, "concurrency must be integer"),
        ("resize", {"function": "a", "concurrency": 1.5}, "concurrency must be integer"),
        ("reload", {"now": 1}, "must have the keys {}"),
        ("log-level", {"level": None}, "level must be string"),
        ("log-level", {"level": "loud"}, "level must be one of debug, info, warning, error"),
        ("resize", {"function": "a", "concurrency": 0}, "concurrency must be from 1 to 1000000"),
        ("kill", {"handle": ""}, "handle must not be empty"),
    ],
)
def test_a_malformed_body_changes_nothing(name: str, body: Any, error: str) -> None:
    site = ScriptedSite()
    if body == "\udcff":
        answer = site.client.simulate_post(
            "/api/pause", body=b"\xff", headers={"Authorization": "Bearer change", "Content-Type": "application/json"}
        )
    else:
        answer = site.post(f"/api/{name}", body)
    assert answer.status_code == 400
    assert error in answer.json["error"]
    assert site.asked == []


def test_the_levels_are_those_of_the_daemon() -> None:
    assert tuple(ACTIONS["log-level"].fields["level"].schema["enum"]) == LEVELS
