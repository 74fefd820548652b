"""Interrupts handlers that have yielded: at their time limit, when killed, and again after the grace period. Floor 3.

Nothing is thrown into a handler that is importing a module (see `importing`): the interrupt is deferred until the import
ends. If it has not ended after the grace period, the job is reported anyway and the process is replaced.

Invariant: time in which this process was stopped, or blocked by one of its jobs, does not count against the other jobs.

There is no timer for each job: all runs of a function have the same limit, so their deadlines come in the order of their
starts, and one timer for the first is enough. A handler that never yields is not here; the supervisor detects it.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Container
from typing import Any

from gevent import GreenletExit
from gevent.hub import get_hub

from gearpool.jobs import Job, JobTimeout, Killed
from gearpool.logs import emit
from gearpool.timing import MAX_WAIT_S
from gearpool.worker.importing import is_importing
from gearpool.worker.runs import Run

log = logging.getLogger("gearpool.worker")

LATE_S = 0.5
"""A timer that fires later than this shows that this process was stopped or blocked."""
MAX_EXTENSION_S = 60.0
"""The most by which one limit is extended, so that a job ends even in a process that is blocked repeatedly."""
IMPORT_CHECK_S = 0.02
"""How often an import that defers an interrupt is checked."""


class Deadlines:
    """Runs in the order of their deadlines, with one timer.

    Args:
        due: called in the hub with each run whose deadline has passed, once.
        late: called first if the deadline passed long ago; it may call `extend`.
    """

    def __init__(self, due: Callable[[Run], None], late: Callable[[], None]) -> None:
        self._due = due
        self._late = late
        # OrderedDict and not dict: taking from the front of a dict again and again is quadratic.
        self._queue: OrderedDict[Run, float] = OrderedDict()
        self._timer: Any = None
        self._due_at = self._latest = -math.inf
        self._in_order = True

    def __len__(self) -> int:
        return len(self._queue)

    def __contains__(self, run: Run) -> bool:
        return run in self._queue

    def is_due(self, run: Run, now: float) -> bool:
        """Whether the deadline of ``run`` was added and has passed."""
        return self._queue.get(run, now + 1.0) <= now

    def add(self, run: Run, deadline: float) -> None:
        """Add a run; deadlines come in ascending order, or nearly so, except after `extend`."""
        if deadline > self._latest:
            self._latest = deadline
        elif deadline < self._latest - LATE_S:
            self._in_order = False
        self._queue[run] = deadline
        if self._timer is None or deadline < self._due_at:
            self._set(deadline)

    def remove(self, run: Run) -> None:
        """Remove a run that has ended, if it is here. The timer is left to find out."""
        self._queue.pop(run, None)

    def extend(self, seconds: Callable[[Run], float]) -> None:
        """Move the deadline of each run by ``seconds(run)``; see `TimeLimits.extend`."""
        for run in self._queue:
            self._queue[run] += seconds(run)
        self._sort()

    def _sort(self) -> None:
        self._queue = OrderedDict(sorted(self._queue.items(), key=lambda entry: entry[1]))
        self._latest = next(reversed(self._queue.values()), -math.inf)
        self._in_order = True

    def close(self) -> None:
        """Forget all runs."""
        self._queue.clear()
        self._stop()

    def _set(self, deadline: float) -> None:
        self._stop()
        self._due_at = deadline
        self._timer = get_hub().loop.timer(min(max(0.0, deadline - time.monotonic()), MAX_WAIT_S))
        # update: the loop's cached time may be as old as a whole batch.
        self._timer.start(self._expired, update=True)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _expired(self) -> None:
        self._stop()
        now = time.monotonic()
        if not self._in_order:
            self._sort()
        queue = self._queue
        if queue and now - next(iter(queue.values())) > LATE_S:
            self._late()
            queue = self._queue  # a new one if deadlines were moved
        while queue:
            run, deadline = next(iter(queue.items()))
            if deadline > now:
                self._set(deadline)
                return
            del queue[run]
            self._due(run)


class TimeLimits:
    """The time limits of one process.

    Args:
        overdue: called in the hub with a run that has not ended after its grace period: report its job anyway.
        stuck: called next with the same run: it cannot be ended.
        late: called when a deadline passed long ago; it may call `extend`.

    Attributes:
        deferred: interrupts that wait for the end of an import, by run.
    """

    def __init__(
        self, overdue: Callable[[Run], None], stuck: Callable[[Run], None], late: Callable[[], None] = lambda: None
    ) -> None:
        self._overdue = overdue
        self._stuck = stuck
        self._limits = defaultdict[str, Deadlines](lambda: Deadlines(self.time_out, late))
        self._graces = defaultdict[str, Deadlines](lambda: Deadlines(self.end, late))
        self.deferred: dict[Run, BaseException] = {}
        self._deferred_timer: Any = None

    def arm(self, run: Run, timeout_s: float) -> None:
        """Limit ``run`` to ``timeout_s`` from the start of its job."""
        run.watched_at = time.monotonic()
        run.due = run.job.started + timeout_s
        self._limits[run.job.function].add(run, run.due)

    def disarm(self, run: Run) -> None:
        """``run`` has ended."""
        if run.due is not None:
            self._limits[run.job.function].remove(run)
        if run.due is not None or run.thrown or run in self.deferred:
            self.deferred.pop(run, None)
            graces = self._graces.get(run.job.function)
            if graces is not None:
                graces.remove(run)

    def extend(self, seconds: float, since: float, but: Container[Job]) -> None:
        """This process was stopped or blocked for ``seconds``: extend the limits of the jobs that could not run.

        Args:
            seconds: for how long.
            since: about when it began (``time.monotonic()``). A run armed later may be what blocked the process.
            but: jobs that are known to have blocked it.
        """

        def extension(run: Run) -> float:
            if run.watched_at > since or run.job in but:
                return 0.0
            return min(seconds, MAX_EXTENSION_S - run.extended_s)

        def extend(run: Run) -> float:
            more = extension(run)
            run.extended_s += more
            run.job.extend(more)
            if run.due is not None:
                run.due += more
            return more

        for graces in self._graces.values():
            graces.extend(extension)
        for limits in self._limits.values():
            limits.extend(extend)

    def time_out(self, run: Run) -> None:
        """The limit of ``run`` has passed: raise JobTimeout in it. Called in the hub."""
        if not (run.ended or run.thrown or run in self.deferred):
            self.interrupt(run, self.timeout_of(run))

    def interrupt(self, run: Run, interrupt: BaseException) -> None:
        """Raise ``interrupt`` in ``run``, which then has its grace period to end. Called in the hub."""
        if not run.ended:
            self.begin_grace(run)
            self.throw(run, interrupt)

    def throw(self, run: Run, interrupt: BaseException) -> None:
        """Raise ``interrupt`` in ``run`` now, or when its import ends. Called in the hub."""
        if run.ended:
            return
        if not is_importing(run.greenlet.gr_frame):
            run.throw(interrupt)
            return
        if isinstance(interrupt, Killed) or run not in self.deferred:
            self.deferred[run] = interrupt
        if self._deferred_timer is None:
            self._deferred_timer = get_hub().loop.timer(IMPORT_CHECK_S, IMPORT_CHECK_S)
            self._deferred_timer.start(self._throw_deferred)

    def timeout_of(self, run: Run) -> JobTimeout:
        """The exception to raise in ``run`` at its limit."""
        # The job's limit, not the one in the configuration, which may have changed since.
        job = run.job
        limit_s = (job.deadline or job.started) - job.started - run.extended_s
        return JobTimeout(f"over its time limit of {limit_s:g} s")

    def begin_grace(self, run: Run) -> None:
        """Start the grace period of ``run``, unless it has started already."""
        graces = self._graces[run.job.function]
        if run not in graces:
            graces.add(run, time.monotonic() + run.replies.function.settings.timeout_grace_s)

    def grace_is_over(self, run: Run, now: float) -> bool:
        """Whether ``run`` was interrupted and its grace period has passed."""
        return self._graces[run.job.function].is_due(run, now)

    def end(self, run: Run) -> None:
        """The grace period is over: kill the greenlet. If that fails, report the job anyway. Called in the hub."""
        if run.ended:
            return
        if (deferred := self.deferred.pop(run, None)) is not None:
            run.interrupted(deferred)  # it is not raised any more, but it is why the job ends
        if is_importing(run.greenlet.gr_frame):
            why = "the handler is importing a module and cannot be interrupted; the job is reported without waiting for it"
        else:
            run.throw(GreenletExit())
            if run.ended:
                return
            raised = type(run.thrown[0]).__name__
            why = f"the handler ignored {raised} and GreenletExit; the job is reported without waiting for it"
        if run.abandoned:
            return  # the drain deadline came first, and its job is reported already
        emit(
            log, logging.ERROR, "job.stuck", why,
            function=run.job.function, handle=run.job.handle, unique=run.job.unique, attempt=run.job.attempt,
        )  # fmt: skip
        self._overdue(run)
        self._stuck(run)

    def _throw_deferred(self) -> None:
        """Raise the interrupts whose import has ended. In the hub, so all handlers have yielded."""
        for run, interrupt in list(self.deferred.items()):
            if run.thrown and isinstance(interrupt, JobTimeout):
                self.deferred.pop(run, None)  # it was interrupted by the signal meanwhile
            elif not is_importing(run.greenlet.gr_frame):
                self.deferred.pop(run, None)
                run.throw(interrupt)
        if not self.deferred:
            self._stop_deferring()

    def _stop_deferring(self) -> None:
        timer, self._deferred_timer = self._deferred_timer, None
        if timer is not None:
            timer.stop()
            timer.close()

    def close(self) -> None:
        """Forget all runs."""
        for deadlines in (*self._limits.values(), *self._graces.values()):
            deadlines.close()
        self.deferred.clear()
        self._stop_deferring()
