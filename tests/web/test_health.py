from __future__ import annotations

import pytest

from gearpool.web.health import live, ready, started
from gearpool.web.published import Published
from tests.web.sites import ScriptedSite, status


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_lives_as_long_as_the_supervisor_publishes() -> None:
    clock = Clock()
    published = Published(clock)
    published.update(status(servers={"a:1": False}, problem="no worker is ready; 1 are starting"), None)
    clock.now = 9.0
    assert live(published) == ""
    clock.now = 12.0
    assert live(published) == "the supervisor has not responded for 12 s"
    published.update(status(), None)
    assert live(published) == ""
    published.update(status(state="stopped"), None)
    assert live(published) == "the daemon has stopped"


@pytest.mark.parametrize(
    ("published", "is_started", "is_ready"),
    [
        ({}, False, False),
        (status(state="starting"), False, False),
        (status(), True, True),
        (status(state="quiet"), True, True),
        (status(state="reloading"), True, True),
        (status(problem="no worker is ready"), True, False),
        (status(servers={"a:1": False, "b:1": True}), True, True),
        (status(servers={"a:1": False}), True, False),
        (status(servers={}), True, False),
        (status(state="draining"), True, False),
    ],
)
def test_started_and_ready(published: dict[str, object], is_started: bool, is_ready: bool) -> None:
    found = Published()
    found.update(published, None)
    assert (started(found) == "") is is_started
    assert (ready(found) == "") is is_ready


def test_a_check_is_answered_as_text_and_without_a_token() -> None:
    site = ScriptedSite(read_token="look")
    answer = site.get("/startupz")
    assert (answer.status_code, answer.text) == (503, "the workers are not ready yet\n")
    site.published.update(status(), None)
    for path in ("/livez", "/readyz", "/startupz"):
        answer = site.get(path)
        assert (answer.status_code, answer.text) == (200, "ok\n")
        assert answer.headers["content-type"].startswith("text/plain")
    assert site.asked == []
