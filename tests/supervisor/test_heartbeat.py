from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gearpool.supervisor.heartbeat import KILL_S, MAX_GAP_S, WARN_S, Heartbeat
from tests.supervisor.fake_loop import FakeLoop


class Scene:
    """A job server whose heartbeat a test controls, and the callbacks that were called."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.sequence = 1
        self.events: list[tuple[str, float]] = []
        child: Any = SimpleNamespace(read_page=lambda: SimpleNamespace(sequence=self.sequence))
        self.heartbeat = Heartbeat(
            self.loop,  # type: ignore[arg-type]
            child,
            on_silent=lambda seconds: self.events.append(("silent", seconds)),
            on_responding=lambda seconds: self.events.append(("again", seconds)),
            on_timeout=lambda seconds: self.events.append(("given up", seconds)),
            clock=lambda: self.loop.now,
        )

    def beat_for(self, seconds: int) -> None:
        for _ in range(seconds):
            self.sequence += 1
            self.loop.advance(1.0)


def test_a_regular_heartbeat_calls_nothing() -> None:
    scene = Scene()
    scene.beat_for(300)
    assert (scene.events, scene.heartbeat.silent_s) == ([], 0.0)


def test_a_missing_heartbeat_and_its_return_are_reported() -> None:
    scene = Scene()
    scene.loop.advance(WARN_S + 1.0)
    assert scene.events == [("silent", WARN_S)]
    assert scene.heartbeat.is_silent
    scene.beat_for(5)
    assert [what for what, _ in scene.events] == ["silent", "again"]
    assert not scene.heartbeat.is_silent
    scene.loop.advance(WARN_S + 1.0)
    assert [what for what, _ in scene.events] == ["silent", "again", "silent"]


def test_given_up_is_called_once() -> None:
    scene = Scene()
    scene.loop.advance(KILL_S + 60.0)
    assert scene.events == [("silent", WARN_S), ("given up", KILL_S)]
    assert scene.loop.timers == []


def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    scene = Scene()
    scene.loop.advance(3600.0, step=3600.0)
    assert (scene.events, scene.heartbeat.silent_s) == ([], MAX_GAP_S)
    scene.beat_for(3)
    assert scene.events == []


def test_stop_cancels_the_timer() -> None:
    scene = Scene()
    scene.heartbeat.stop()
    scene.loop.advance(KILL_S * 2)
    assert (scene.events, scene.loop.timers) == ([], [])
