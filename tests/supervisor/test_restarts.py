from __future__ import annotations

from gearpool.supervisor.restarts import MAX_UNEXPLAINED, QUIET_S, RETRY_S, STABLE_S, Restarts, RestartTimer
from tests.supervisor.fake_loop import FakeLoop


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_restart_is_immediate() -> None:
    assert Restarts(Clock()).died(0.0, excused=False) == 0.0


def test_deaths_in_a_row_back_off_exponentially() -> None:
    restarts = Restarts(Clock())
    delays = [restarts.died(0.0, excused=False) for _ in range(MAX_UNEXPLAINED - 1)]
    assert delays == [0.0, 0.25, 0.5, 1.0]


def test_too_many_deaths_in_a_row_are_a_crash_loop() -> None:
    restarts = Restarts(Clock())
    assert [restarts.died(0.0, excused=False) for _ in range(MAX_UNEXPLAINED)][-1] is None


def test_the_crash_loop_limit_scales_with_the_number_of_children() -> None:
    restarts = Restarts(Clock())
    delays = [restarts.died(0.0, excused=False, of=4) for _ in range(4 * MAX_UNEXPLAINED)]
    assert None not in delays[:-1]
    assert delays[-1] is None


def test_excused_deaths_are_never_a_crash_loop_and_wait_a_second_at_most() -> None:
    restarts = Restarts(Clock())
    delays = [restarts.died(0.0, excused=True) for _ in range(200)]
    assert delays[-1] == 1.0


def test_a_child_that_served_long_enough_starts_a_new_count() -> None:
    restarts = Restarts(Clock())
    for _ in range(MAX_UNEXPLAINED - 1):
        restarts.died(0.0, excused=False)
    assert restarts.died(STABLE_S, excused=False) == 0.0


def test_a_pause_between_deaths_starts_a_new_count() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    for _ in range(MAX_UNEXPLAINED - 1):
        restarts.died(0.0, excused=False)
    clock.now += QUIET_S + 1
    assert restarts.died(0.0, excused=False) == 0.0


class Scene:
    """A restart timer on a fake loop, and what it has called."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.calls: list[str] = []
        self.timer = RestartTimer(
            self.loop,  # type: ignore[arg-type]
            lambda: self.calls.append("restart"),
            lambda: self.calls.append("crash loop"),
        )

    def advance(self, seconds: float) -> list[str]:
        self.loop.advance(seconds, 0.1)
        return self.calls


def test_a_restart_is_pending_until_its_time_has_come() -> None:
    scene = Scene()
    scene.timer.retry()
    assert (scene.timer.waiting, scene.advance(RETRY_S - 0.2)) == (True, [])
    assert (scene.advance(0.4), scene.timer.waiting) == (["restart"], False)


def test_a_death_replaces_a_pending_restart() -> None:
    scene = Scene()
    scene.timer.retry()
    scene.timer.died(0.0, excused=False)
    assert scene.advance(0.1) == ["restart"]
    assert scene.advance(RETRY_S * 2) == ["restart"]


def test_a_crash_loop_is_reported_and_not_restarted() -> None:
    scene = Scene()
    for _ in range(MAX_UNEXPLAINED - 1):
        scene.timer.died(0.0, excused=False)
        scene.advance(5.0)
    scene.timer.died(0.0, excused=False)
    assert scene.advance(60.0) == ["restart"] * (MAX_UNEXPLAINED - 1) + ["crash loop"]
