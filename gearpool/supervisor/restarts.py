"""Decides when to restart a child that died, and detects a crash loop. Floor 4; the clock and the loop are passed in.

Invariant: the first restart is immediate; deaths in a row are restarted with exponential back-off. Too many unexplained
deaths in a row (no SIGKILL, no job on the CPU) end the daemon, so that the service manager or an operator takes over.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gearpool.supervisor.loop import Loop, Timer
from gearpool.timing import Clock, exponential

STABLE_S = 10.0
"""The count is reset after a child has served for this long."""
QUIET_S = 60.0
"""The count is reset after no child has died for this long."""
MAX_UNEXPLAINED = 5
"""This many unexplained deaths in a row for each configured child are a crash loop."""
RETRY_S = 1.0
"""Pause before the next attempt when the system could not start a process."""


class Restarts:
    """Counts the deaths of one kind of child and computes the back-off."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._unexcused = 0
        self._last = -QUIET_S

    def died(self, served_s: float, *, excused: bool, of: int = 1) -> float | None:
        """Seconds to wait before the next start, or None if this is a crash loop.

        Args:
            served_s: seconds since it became ready, 0 if it never did.
            excused: whether the cause is known: a SIGKILL, or a job.
            of: how many such children are configured; all of them may fail for the same reason at once.
        """
        now = self._clock()
        if served_s >= STABLE_S or now - self._last > QUIET_S:
            self._in_a_row = self._unexcused = 0
        self._last = now
        self._in_a_row += 1
        if not excused:
            self._unexcused += 1
            if self._unexcused >= MAX_UNEXPLAINED * of:
                return None
        if self._in_a_row == 1:
            return 0.0
        return exponential(self._in_a_row - 1, *((0.1, 2.0, 1.0) if excused else (0.25, 2.0, 10.0)))


class RestartTimer:
    """Schedules the restarts of one kind of child.

    Args:
        loop: runs the timer.
        restart: called when it is time to start children.
        on_crash_loop: called instead if there were too many unexplained deaths in a row.
    """

    def __init__(self, loop: Loop, restart: Callable[[], object], on_crash_loop: Callable[[], object]) -> None:
        self._loop = loop
        self._restart = restart
        self._on_crash_loop = on_crash_loop
        self._deaths = Restarts()
        self._timer: Timer | None = None

    @property
    def waiting(self) -> bool:
        """Whether a restart is scheduled."""
        return self._timer is not None

    def died(self, served_s: float, *, excused: bool, of: int = 1) -> None:
        """A child has died; see `Restarts.died`."""
        delay_s = self._deaths.died(served_s, excused=excused, of=of)
        if delay_s is None:
            self._on_crash_loop()
        else:
            self._schedule(delay_s)

    def retry(self) -> None:
        """The system could not start a process: processes, descriptors or memory are exhausted, which may pass."""
        self._schedule(RETRY_S)

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.later(delay_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._restart()
