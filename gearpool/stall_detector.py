"""Decides whether a process is stalled, from readings of its page. Floor 1; pure, the clock is given.

The supervisor uses it for its children; the `Worker` library, in a thread, for its own process. A hub is never a stall,
unless the process has a heartbeat and that has stopped. Time counts only while the reader itself runs, so no process is
killed for the time of a suspended machine or a frozen container.
"""

from __future__ import annotations

import enum

from gearpool.page import NO_FUNCTION, Activity, Reading
from gearpool.settings import Settings

STALL_S = 0.25
"""A job that stays on the CPU for this long without a switch is a stall."""
ASK_S = 0.24
"""How often a stalled process whose job has a time limit is signalled: it knows better when the limit began."""
INSIST_S = 0.04
"""How often it is signalled once the limit has certainly passed."""
IN_PLACE_S = 0.5
"""After the grace period a process gets this long to end the handler in place before it is killed."""
IDLE_WRITES = 16
"""Writes to the page between two readings that an idle process may make: it reports its status and grabs now and then."""
BUSY_S = 0.1
"""Seconds between readings of a busy process."""
STALLED_S = 0.05
"""Seconds between readings of a stalled process."""
HEARTBEAT_S = 2.5
"""A hub without a heartbeat for this long is shown as stalled; the status makes one each second."""
MIN_SILENT_S = 10.0
"""Its process is killed at `stall_timeout`, but not before this: it may only be short of CPU time."""
MAX_GAP_S = 1.0
"""At most this much of the time between two readings is counted."""


class Finding(enum.Enum):
    """What to do about a process."""

    FINE = "nothing"
    SIGNAL = "signal the child: it logs the stall, or interrupts the job"
    OVERDUE = "dump its stacks and kill it"


class StallDetector:
    """Watches one process.

    Args:
        heartbeat: even an idle process writes to its page about once a second. One that does not is stopped (SIGSTOP, a
            debugger, a device that does not answer), or something blocks in its hub itself.

    Attributes:
        stuck_s: for how long its current sequence number has been seen.
        busy: whether the last reading showed much activity since the one before, or something on the CPU.
    """

    def __init__(self, *, heartbeat: bool = False) -> None:
        self.stuck_s = 0.0
        self._heartbeat = heartbeat
        self._silent_s = 0.0
        self.busy = False
        self._sequence = -1
        self._read_at: float | None = None
        self._signalled_at: float | None = None

    def check(self, reading: Reading, now: float, settings: Settings) -> Finding:
        """What to do after one reading of the page, taken at ``now``."""
        gap = MAX_GAP_S if self._read_at is None else min(now - self._read_at, MAX_GAP_S)
        self._read_at = now
        self.busy = reading.sequence - self._sequence > IDLE_WRITES or reading.activity is not Activity.HUB
        if reading.sequence != self._sequence:
            self._sequence = reading.sequence
            self._signalled_at = None
            self._silent_s = 0.0
            self.stuck_s = max(0.0, min(now - reading.since, gap))
        else:
            self._silent_s += gap
            self.stuck_s += gap
        if reading.activity is Activity.HUB:
            has_stopped = self._heartbeat and reading.sequence > 0 and self._silent_s > HEARTBEAT_S
            self.stuck_s = self._silent_s if has_stopped else 0.0
            return Finding.OVERDUE if self.stuck_s > max(settings.stall_timeout_s, MIN_SILENT_S) else Finding.FINE
        timeout_s, limit_s = limits(reading, settings)
        if self.stuck_s > limit_s:
            return Finding.OVERDUE
        if self._is_time_to_signal(timeout_s):
            self._signalled_at = self.stuck_s
            return Finding.SIGNAL
        return Finding.FINE

    def _is_time_to_signal(self, timeout_s: float | None) -> bool:
        if timeout_s is not None and self.stuck_s >= timeout_s:
            return self._signalled_at is None or self.stuck_s - self._signalled_at >= INSIST_S
        if self.stuck_s < STALL_S:
            return False
        if self._signalled_at is None:
            return True
        return timeout_s is not None and self.stuck_s - self._signalled_at >= ASK_S


def limits(reading: Reading, settings: Settings) -> tuple[float | None, float]:
    """The time limit of the job on the CPU, if any, and after how long a process stuck with it is killed: seconds."""
    limit_s = settings.stall_timeout_s
    is_known = reading.function != NO_FUNCTION and reading.function < len(settings.functions)
    if reading.activity is not Activity.JOB or not is_known:
        return None, limit_s
    function = settings.functions[reading.function]
    if function.timeout_s is None:
        return None, limit_s
    return function.timeout_s, min(limit_s, function.timeout_s + function.timeout_grace_s + IN_PLACE_S)
