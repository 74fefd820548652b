"""The table of running jobs: those in greenlets of their own, and the leaders of batches. Floor 3.

A job is listed from the moment its handler first yields (or runs too long, or is run outside of a batch) until the handler
ends. Before that, the leader of its batch is listed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import gevent
from gevent import getcurrent
from gevent.hub import get_hub

from gearpool import logs
from gearpool.jobs import KILLED, Job, Killed, is_named, known_of
from gearpool.page import Page
from gearpool.worker.abandoned import Abandoned
from gearpool.worker.admission import Admission
from gearpool.worker.runs import Run, drop_locals
from gearpool.worker.time_limits import TimeLimits
from gearpool.worker.verdicts import Verdicts, outcome_of

log = logging.getLogger("gearpool.worker")


class Leader(Protocol):
    """The batch that a greenlet leads."""

    @property
    def on_cpu(self) -> Job | None:
        """The job that the leader is running; None if there is none."""

    def single_out(self) -> Run | None:
        """Turn that job into a run of its own; safe in a signal handler."""


class Running:
    """The running jobs of one process.

    Args:
        page: where a supervisor sees the jobs in flight; None without one.

    Attributes:
        runs: by greenlet.
        leaders: by greenlet.
        log_jobs: log each job that completes; those that fail are always logged.
        blocked_by: jobs seen blocking the event loop since the last tick.
    """

    def __init__(
        self, admission: Admission, verdicts: Verdicts, abandoned: Abandoned, limits: TimeLimits, page: Page | None
    ) -> None:
        self.runs: dict[Any, Run] = {}
        self.leaders: dict[Any, Leader] = {}
        self.log_jobs = False
        self.blocked_by: list[Job] = []
        self.page = page
        self.limits = limits
        self._admission = admission
        self._verdicts = verdicts
        self._abandoned = abandoned

    def begin(self, run: Run) -> None:
        """Add ``run``: its handler has yielded for the first time, or starts outside of a batch."""
        self.runs[run.greenlet] = run
        if self.page is not None:
            run.row = self.page.jobs.add(run.replies.tag, run.job.raw_handle, run.job.raw_unique)
        timeout_s = run.replies.function.settings.timeout_s
        if timeout_s is not None:
            self.limits.arm(run, timeout_s)

    def returned(self, run: Run, result: bytes, now: float) -> None:
        """The handler of ``run`` returned. Called in its greenlet."""
        if run.origin is not None and run.origin.interrupt is not None and not run.thrown:
            # What it started was interrupted, and it returned before the same was raised in it.
            self.raised(run, run.origin.interrupt)
            return
        drop_locals(*run.thrown)
        if not self._end(run):
            return
        replies, job = run.replies, run.job
        function = replies.function
        replies.unreported -= 1
        if self.log_jobs:
            log_complete(job, now - job.started)
        sent = replies.complete(job, result)
        function.counters.ended("complete" if sent else "orphaned", now - job.started)
        if function.breaker is not None:
            self._verdicts.succeeded(function)
        self._admission.jobs_ended(1)
        self._admission.release(function.slots)

    def raised(self, run: Run, error: BaseException) -> None:
        """The handler of ``run`` raised. Called in its greenlet."""
        if self._end(run):
            self._verdicts.conclude(run, outcome_of(error, run.thrown))
        drop_locals(error, *run.thrown)

    def current(self) -> Run | None:
        """The run whose handler is on the CPU, None if there is none; safe in a signal handler."""
        me = getcurrent()
        run = self.runs.get(me)
        if run is None and me in self.leaders:
            run = self.leaders[me].single_out()
        return run

    def on_cpu(self) -> Job | None:
        """The job whose handler is on the CPU; unlike `current`, this has no side effects."""
        me = getcurrent()
        run = self.runs.get(me)
        if run is not None:
            return None if run.ended else run.job
        leader = self.leaders.get(me)
        return leader.on_cpu if leader is not None else None

    def kill(self, handle: str) -> bool:
        """Kill the running job ``handle`` (or ``server/handle``). False if it does not run here."""
        for run in list(self.runs.values()):
            if not run.abandoned and is_named(run.job, handle):
                if not any(isinstance(each, Killed) for each in run.thrown):
                    get_hub().loop.run_callback(self.limits.interrupt, run, Killed(KILLED))
                return True
        return False

    def in_hub(self, do: Callable[[Run], None]) -> None:
        """Call ``do(run)`` for every run, in the hub, where exceptions can be raised in greenlets."""
        loop = get_hub().loop
        for run in list(self.runs.values()):
            loop.run_callback(do, run)
        gevent.sleep(0)

    def _end(self, run: Run) -> bool:
        """The handler has ended. False if its job was reported before."""
        me = run.greenlet
        self.runs.pop(me, None)
        unreported = run.end()
        self.limits.disarm(run)
        if run.row:
            assert self.page is not None
            self.page.jobs.remove(run.row)
        if run.origin is not None:
            run.origin.run = None
        if me.gr_context is not None:
            me.gr_context = None
        if not unreported:
            self._abandoned.ended(run)
        return unreported


def log_complete(job: Job, seconds: float) -> None:
    """Log one job that completed after ``seconds``."""
    logs.emit(
        log, logging.INFO, "job.complete", **known_of(job), outcome="complete", duration_s=round(seconds, 6),
    )  # fmt: skip
