"""Extended time limits. For their effect on handlers see `test_verdicts`, `test_importing` and `test_interrupts`."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gearpool.jobs import Job, Killed
from gearpool.worker.runs import Run
from gearpool.worker.time_limits import IMPORT_CHECK_S, MAX_EXTENSION_S, Deadlines, TimeLimits
from tests.processes import wait_for
from tests.worker.plain import Owed


def _run(timeout_s: float) -> Run:
    server: Any = SimpleNamespace(server="s")
    job = Job(server, "f", b"H", b"", b"", timeout_s)
    job.started = time.monotonic()
    return Run(server, job, None)


def test_a_deadline_that_was_not_extended_is_not_delayed_by_those_that_were() -> None:
    due: list[Any] = []
    limits = Deadlines(due.append, lambda: None)
    moved, later, other = _run(10.0), _run(10.0), _run(10.0)
    now = time.monotonic()
    limits.add(moved, now + 10.0)
    limits.add(later, now + 10.1)
    limits.extend(lambda run: 60.0 if run is moved else -10.0)
    limits.add(other, now + 0.3)
    wait_for(lambda: gevent.sleep(0.01) or len(due) == 2, "both deadlines")
    assert due == [later, other]
    assert moved in limits
    limits.close()


def test_a_limit_is_extended_by_at_most_a_minute_and_not_at_all_for_the_job_that_blocked() -> None:
    limits = TimeLimits(lambda run: None, lambda run: None)
    waited, blocker, newcomer = (_run(20.0) for _ in range(3))
    for run in (waited, blocker, newcomer):
        limits.arm(run, 20.0)
    began = time.monotonic()
    newcomer.watched_at = began + 1.0
    deadline = waited.job.deadline or 0.0
    for _ in range(3):
        limits.extend(28.0, began, [blocker.job])
    assert waited.job.deadline == pytest.approx(deadline + MAX_EXTENSION_S)
    assert waited.due == pytest.approx(deadline + MAX_EXTENSION_S)
    assert (blocker.extended_s, newcomer.extended_s) == (0.0, 0.0)
    assert "20 s" in str(limits.timeout_of(waited))
    limits.close()


class ImportingGreenlet:
    """A greenlet that is importing a module for as long as ``importing`` is set."""

    def __init__(self) -> None:
        self.importing = True
        self.checks = 0
        self.thrown: list[BaseException] = []

    @property
    def gr_frame(self) -> Any:
        self.checks += 1
        name = "<frozen importlib._bootstrap>" if self.importing else "shop.py"
        return SimpleNamespace(f_code=SimpleNamespace(co_filename=name), f_back=None)

    def throw(self, error: BaseException) -> None:
        self.thrown.append(error)


def test_a_deferred_interrupt_is_raised_once_the_import_ends_and_nothing_is_checked_after_that() -> None:
    limits = TimeLimits(lambda run: None, lambda run: None)
    run, greenlet, killed = _run(20.0), ImportingGreenlet(), Killed("killed")
    run.greenlet = greenlet
    limits.throw(run, killed)
    wait_for(lambda: gevent.sleep(0.01) or greenlet.checks > 2, "the import to be checked")
    assert greenlet.thrown == []
    assert limits.deferred == {run: killed}
    greenlet.importing = False
    wait_for(lambda: gevent.sleep(0.01) or greenlet.thrown, "the interrupt")
    checks = greenlet.checks
    gevent.sleep(3 * IMPORT_CHECK_S)
    assert greenlet.thrown == [killed]
    assert limits.deferred == {}
    assert greenlet.checks == checks


def test_a_run_that_the_drain_has_reported_is_not_reported_again_when_its_grace_period_ends() -> None:
    reported: list[Run] = []
    limits = TimeLimits(reported.append, reported.append)
    owed, greenlet = Owed(), ImportingGreenlet()
    run = Run(owed.replies, owed.job(), greenlet)
    limits.interrupt(run, Killed("killed"))
    greenlet.importing = False
    run.abandon()
    limits.end(run)
    assert [type(each) for each in greenlet.thrown] == [gevent.GreenletExit], "it still gets another chance to end"
    assert reported == []
    limits.close()
