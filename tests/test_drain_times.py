from __future__ import annotations

from gearpool.drain_times import (
    DAEMON_S,
    HANDLER_S,
    JOB_SERVER_S,
    MIN_CLOSE_S,
    PLATFORM_S,
    WEB_EXIT_S,
    WEB_S,
    WORKER_S,
)


def test_each_step_has_more_time_than_the_steps_inside_it() -> None:
    assert 2 * HANDLER_S < WORKER_S
    assert JOB_SERVER_S < MIN_CLOSE_S
    assert WEB_EXIT_S < WEB_S
    assert DAEMON_S == WORKER_S + MIN_CLOSE_S + WEB_S
    assert DAEMON_S < PLATFORM_S
