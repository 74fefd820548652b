from __future__ import annotations

from gearpool.supervisor.restarts import LOOP, QUIET_S, STABLE_S, Restarts


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_death_is_answered_at_once() -> None:
    assert Restarts(Clock()).died(0.0, excused=False) == 0.0


def test_deaths_in_a_row_wait_longer_and_longer() -> None:
    restarts = Restarts(Clock())
    delays = [restarts.died(0.0, excused=False) for _ in range(LOOP - 1)]
    assert delays == [0.0, 0.25, 0.5, 1.0]


def test_too_many_deaths_in_a_row_are_a_crash_loop() -> None:
    restarts = Restarts(Clock())
    assert [restarts.died(0.0, excused=False) for _ in range(LOOP)][-1] is None


def test_a_crash_loop_of_many_takes_as_many_deaths_of_each() -> None:
    restarts = Restarts(Clock())
    delays = [restarts.died(0.0, excused=False, of=4) for _ in range(4 * LOOP)]
    assert None not in delays[:-1]
    assert delays[-1] is None


def test_excused_deaths_are_never_a_crash_loop_and_wait_a_second_at_most() -> None:
    restarts = Restarts(Clock())
    delays = [restarts.died(0.0, excused=True) for _ in range(200)]
    assert delays[-1] == 1.0


def test_a_child_that_served_long_enough_starts_a_new_count() -> None:
    restarts = Restarts(Clock())
    for _ in range(LOOP - 1):
        restarts.died(0.0, excused=False)
    assert restarts.died(STABLE_S, excused=False) == 0.0


def test_a_pause_between_deaths_starts_a_new_count() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    for _ in range(LOOP - 1):
        restarts.died(0.0, excused=False)
    clock.now += QUIET_S + 1
    assert restarts.died(0.0, excused=False) == 0.0
