"""Time limits of handlers that wait: JobTimeout at the limit, the end at the grace; and who else interrupts them. Floor 3.

Into the midst of an import nothing is thrown (see `importing`): the interrupt is held back until that is over. One that
is not over at the end of the grace is left to itself: the job is reported without it, and the process replaced.

Law: time in which this process was stopped, or blocked by one of its jobs, does not count against the others. No timer a
job: all runs of a function have the same limit, so their deadlines come in the order of their starts: a
queue, and one timer for its head. A job that never waits is never in the queue; the supervisor sees that one.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Container
from typing import Any

from gevent import GreenletExit
from gevent.hub import get_hub

from gearpool.jobs import Job, JobTimeout, Killed
from gearpool.logs import emit
from gearpool.timing import LONGEST_NAP_S
from gearpool.worker.importing import is_importing
from gearpool.worker.runs import Run

log = logging.getLogger("gearpool.worker")

LATE_S = 0.5
"""A timer that comes so much too late shows that this process was away."""
EXCUSED_S = 60.0
"""A run is given back no more than this in all, so that it ends even in a process that is blocked again and again."""
HELD_S = 0.02
"""How often it is looked whether an import is over."""


class Deadlines:
    """Runs in the order of their deadlines, and one timer.

    Args:
        due: called in the hub with each run whose deadline has come, once.
        late: called before that if the deadline has come long ago: perhaps nobody is to blame (see `excuse`).
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
        """Whether ``run`` is watched and its deadline has come."""
        return self._queue.get(run, now + 1.0) <= now

    def add(self, run: Run, deadline: float) -> None:
        """Watch ``run``; deadlines are added in ascending order, or nearly so, but for those that were moved by `excuse`."""
        if deadline > self._latest:
            self._latest = deadline
        elif deadline < self._latest - LATE_S:
            self._in_order = False
        self._queue[run] = deadline
        if self._timer is None or deadline < self._due_at:
            self._set(deadline)

    def remove(self, run: Run) -> None:
        """``run`` has ended; nothing happens if it is not watched. The timer is left to find out."""
        self._queue.pop(run, None)

    def excuse(self, seconds: Callable[[Run], float]) -> None:
        """Give each run so many seconds more. See `Limits.excuse`."""
        for run in self._queue:
            self._queue[run] += seconds(run)
        self._sort()

    def _sort(self) -> None:
        self._queue = OrderedDict(sorted(self._queue.items(), key=lambda entry: entry[1]))
        self._latest = next(reversed(self._queue.values()), -math.inf)
        self._in_order = True

    def close(self) -> None:
        """Watch nobody any more."""
        self._queue.clear()
        self._stop()

    def _set(self, deadline: float) -> None:
        self._stop()
        self._due_at = deadline
        self._timer = get_hub().loop.timer(min(max(0.0, deadline - time.monotonic()), LONGEST_NAP_S))
        # update: the loop's idea of now may be a whole batch old.
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
            queue = self._queue  # sorted anew if anybody was excused
        while queue:
            run, deadline = next(iter(queue.items()))
            if deadline > now:
                self._set(deadline)
                return
            del queue[run]
            self._due(run)


class Limits:
    """The time limits of one pool.

    Args:
        overdue: called in the hub with a run that has not ended even at its grace; it is to be reported without it.
        stuck: called with a run that swallowed even its killing.
        late: called when a deadline is seen long after it came; it looks whether this process was away.
    """

    def __init__(
        self, overdue: Callable[[Run], None], stuck: Callable[[Run], None], late: Callable[[], None] = lambda: None
    ) -> None:
        self._overdue = overdue
        self._stuck = stuck
        self._late = late
        self._limits: dict[str, Deadlines] = {}
        self._graces: dict[str, Deadlines] = {}
        self._held: dict[Run, BaseException] = {}
        """Interrupts that wait for the end of an import."""
        self._held_timer: Any = None

    def arm(self, run: Run, timeout_s: float) -> None:
        """``run`` may take ``timeout_s`` from its job's start."""
        function = run.job.function
        limits = self._limits.get(function)
        if limits is None:
            limits = self._limits[function] = Deadlines(self.time_out, self._late)
        run.watched_at = time.monotonic()
        run.due = run.job.started + timeout_s
        limits.add(run, run.due)

    def disarm(self, run: Run) -> None:
        """``run`` has ended."""
        if run.due is not None:
            self._limits[run.job.function].remove(run)
        if run.due is not None or run.thrown or run in self._held:
            self._held.pop(run, None)
            graces = self._graces.get(run.job.function)
            if graces is not None:
                graces.remove(run)

    def excuse(self, seconds: float, since: float, but: Container[Job]) -> None:
        """This process was away for ``seconds``: give them back to those who could not run because of it.

        Args:
            seconds: for how long.
            since: ``time.monotonic()`` of about when it began; what was not watched yet may be what blocked it.
            but: jobs that are known to have blocked it.
        """

        def given(run: Run) -> float:
            if run.watched_at > since or run.job in but:
                return 0.0
            return min(seconds, EXCUSED_S - run.excused_s)

        def give(run: Run) -> float:
            more = given(run)
            run.excused_s += more
            run.job.extend(more)
            if run.due is not None:
                run.due += more
            return more

        for graces in self._graces.values():
            graces.excuse(given)
        for limits in self._limits.values():
            limits.excuse(give)

    def time_out(self, run: Run) -> None:
        """The limit has come: JobTimeout, and the grace begins. Called in the hub."""
        if not (run.ended or run.thrown or run in self._held):
            self.interrupt(run, self.timeout_of(run))

    def interrupt(self, run: Run, interrupt: BaseException) -> None:
        """Throw ``interrupt`` at ``run``, and give it its grace to end. Called in the hub."""
        if not run.ended:
            self.begin_grace(run)
            self.throw(run, interrupt)

    def throw(self, run: Run, interrupt: BaseException) -> None:
        """Throw ``interrupt`` at ``run``, now or when its import is over. Called in the hub."""
        if run.ended:
            return
        if not is_importing(run.greenlet.gr_frame):
            run.throw(interrupt)
            return
        if isinstance(interrupt, Killed) or run not in self._held:
            self._held[run] = interrupt
        if self._held_timer is None:
            self._held_timer = get_hub().loop.timer(HELD_S, HELD_S)
            self._held_timer.start(self._look_at_the_held)

    def timeout_of(self, run: Run) -> JobTimeout:
        """What is raised into ``run`` at its limit."""
        # Of the job and not of the configuration, which may have been changed to none since.
        job = run.job
        limit_s = (job.deadline or job.started) - job.started - run.excused_s
        return JobTimeout(f"over its time limit of {limit_s:g} s")

    def begin_grace(self, run: Run) -> None:
        """From now on ``run`` has its grace to end by itself."""
        function = run.job.function
        graces = self._graces.get(function)
        if graces is None:
            graces = self._graces[function] = Deadlines(self.end, self._late)
        if run in graces:
            return  # it is being interrupted already
        graces.add(run, time.monotonic() + run.session.function.settings.timeout_grace_s)

    def grace_is_over(self, run: Run, now: float) -> bool:
        """Whether ``run`` was interrupted and has had its grace."""
        graces = self._graces.get(run.job.function)
        return graces is not None and graces.is_due(run, now)

    def end(self, run: Run) -> None:
        """The grace is over: kill the greenlet; what swallows even that is reported without it. Called in the hub."""
        if run.ended:
            return
        held = self._held.pop(run, None)
        if held is not None:
            run.thrown.append(held)  # that it is the reason why the job ends is all that it still is
        if is_importing(run.greenlet.gr_frame):
            why = "the handler imports a module, which must not be interrupted; reported without it"
        else:
            run.throw(GreenletExit())
            if run.ended:
                return
            why = f"the handler swallowed {type(run.thrown[0]).__name__} and its killing; reported without it"
        emit(
            log, logging.ERROR, "job.stuck", why,
            function=run.job.function, handle=run.job.handle, unique=run.job.unique, attempt=run.job.attempt,
        )  # fmt: skip
        self._overdue(run)
        self._stuck(run)

    def _look_at_the_held(self) -> None:
        """Throw what was held back at those whose import is over. In the hub: so all of them wait."""
        for run, interrupt in list(self._held.items()):
            if run.thrown and isinstance(interrupt, JobTimeout):
                self._held.pop(run, None)  # it was interrupted in place meanwhile
            elif not is_importing(run.greenlet.gr_frame):
                self._held.pop(run, None)
                run.throw(interrupt)
        if not self._held:
            self._stop_looking()

    def _stop_looking(self) -> None:
        timer, self._held_timer = self._held_timer, None
        if timer is not None:
            timer.stop()
            timer.close()

    def close(self) -> None:
        """Watch nobody any more."""
        for deadlines in (*self._limits.values(), *self._graces.values()):
            deadlines.close()
        self._held.clear()
        self._stop_looking()
