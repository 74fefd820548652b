"""When a child that died is started again, and when that makes no sense any more. Floor 4; pure, the clock is given.

Law: the first death is answered at once. Deaths in a row wait longer and longer, and those that nobody outside is to
blame for (no SIGKILL, no job on the CPU) end the daemon when there are too many: a service manager's restart, or a
person, can do more than a loop.
"""

from __future__ import annotations

import time

from gearpool.timing import Clock, exponential

STABLE_S = 10.0
"""A child that served so long starts a new count."""
QUIET_S = 60.0
"""So does a pause of this length between deaths."""
LOOP = 5
"""So many unexcused deaths in a row, for each child that there should be, are a crash loop."""


class Restarts:
    """Counts the deaths of one kind of child."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._unexcused = 0
        self._last = -QUIET_S

    def died(self, served_s: float, *, excused: bool, of: int = 1) -> float | None:
        """Seconds to wait before the next start, or None if this is a crash loop.

        Args:
            served_s: seconds since it became ready, 0 if it never did.
            excused: the cause was a SIGKILL or a job that was on its CPU.
            of: how many such children there are; all of them may stumble over the same thing at once.
        """
        now = self._clock()
        if served_s >= STABLE_S or now - self._last > QUIET_S:
            self._in_a_row = self._unexcused = 0
        self._last = now
        self._in_a_row += 1
        if not excused:
            self._unexcused += 1
            if self._unexcused >= LOOP * of:
                return None
        if self._in_a_row == 1:
            return 0.0
        return exponential(self._in_a_row - 1, *((0.1, 2.0, 1.0) if excused else (0.25, 2.0, 10.0)))
