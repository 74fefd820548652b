"""Time limits of handlers that wait, where they are moved: the rest is seen in `test_verdicts` and `test_interrupts`."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gearpool.jobs import Job
from gearpool.worker.limits import EXCUSED_S, Deadlines, Limits
from gearpool.worker.runs import Run
from tests.processes import wait_for


def _run(timeout_s: float) -> Run:
    server: Any = SimpleNamespace(server="s")
    job = Job(server, "f", b"H", b"", b"", timeout_s)
    job.started = time.monotonic()
    return Run(server, job, None)


def test_who_was_not_given_more_time_is_not_late_behind_those_who_were() -> None:
    due: list[Any] = []
    limits = Deadlines(due.append, lambda: None)
    moved, later, other = _run(10.0), _run(10.0), _run(10.0)
    now = time.monotonic()
    limits.add(moved, now + 10.0)
    limits.add(later, now + 10.1)
    limits.excuse(lambda run: 60.0 if run is moved else -10.0)
    limits.add(other, now + 0.3)
    wait_for(lambda: gevent.sleep(0.01) or len(due) == 2, "both to be due")
    assert due == [later, other]
    assert moved in limits
    limits.close()


def test_a_run_is_given_back_no_more_than_a_minute_and_what_blocked_nothing() -> None:
    limits = Limits(lambda run: None, lambda run: None)
    waited, blocker, newcomer = (_run(20.0) for _ in range(3))
    for run in (waited, blocker, newcomer):
        limits.arm(run, 20.0)
    began = time.monotonic()
    newcomer.watched_at = began + 1.0
    deadline = waited.job.deadline or 0.0
    for _ in range(3):
        limits.excuse(28.0, began, [blocker.job])
    assert waited.job.deadline == pytest.approx(deadline + EXCUSED_S)
    assert waited.due == pytest.approx(deadline + EXCUSED_S)
    assert (blocker.excused_s, newcomer.excused_s) == (0.0, 0.0)
    assert "20 s" in str(limits.timeout_of(waited))
    limits.close()
