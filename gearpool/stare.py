"""What to do about a worker that shows the same turn of its page for long. Floor 1; pure, the clock is given.

The supervisor stares at the pages of its children, the `Worker` library, from a thread, at its own.

Law: a hub is never a stall, unless it has a pulse and that has stopped. Time counts only while the supervisor itself runs:
after a suspended machine or a frozen container, nobody is killed for the time in which nobody ran.
"""

from __future__ import annotations

import enum

from gearpool.page import NO_FUNCTION, Activity, Beat
from gearpool.settings import Settings

STALL_S = 0.25
"""A turn of this length is a stall."""
ASK_S = 0.24
"""How often a stalled child with a time limit is asked: it knows better when the limit began."""
INSIST_S = 0.04
"""How often it is asked once the limit has passed for certain."""
IN_PLACE_S = 0.5
"""At the end of the grace the child itself gets this long to end a loop in place before its process is killed."""
FEW_TURNS = 16
"""Turns between two looks that an idle worker may take: it tells its status and grabs now and then."""
BUSY_S = 0.1
"""How often to look at a worker that does something."""
STALLED_S = 0.05
"""How often to look at one that is stalled."""
PULSE_S = 2.5
"""A hub that turns once a second, since its process tells its status, and has not for so long, is shown as stalled."""
STOPPED_S = 10.0
"""Its process is killed at `stall_timeout`, but not before this: it may only be short of CPU time."""
LOOKS_AWAY_S = 1.0
"""At most so much of the time between two looks is counted."""


class Verdict(enum.Enum):
    """What to do."""

    FINE = "nothing"
    ASK = "signal the child: it logs the stall, or interrupts the job"
    OVERDUE = "dump its stacks and kill it"


class Stare:
    """One worker as seen by one pair of eyes.

    Args:
        pulse: even an idle worker turns about once a second, once it has turned at all. One that does not is stopped
            (SIGSTOP, a debugger, a device that does not answer), or something blocks in its hub itself.

    Attributes:
        stuck_s: for how long its current turn has been seen.
        busy: whether the last look saw much happen since the one before, or something on the CPU.
    """

    def __init__(self, *, pulse: bool = False) -> None:
        self.stuck_s = 0.0
        self._pulse = pulse
        self._silent_s = 0.0
        self.busy = False
        self._turn = -1
        self._looked: float | None = None
        self._asked_at: float | None = None

    def look(self, beat: Beat, now: float, settings: Settings) -> Verdict:
        """Judge one reading of the page taken at ``now``."""
        gap = LOOKS_AWAY_S if self._looked is None else min(now - self._looked, LOOKS_AWAY_S)
        self._looked = now
        self.busy = beat.turn - self._turn > FEW_TURNS or beat.activity is not Activity.HUB
        if beat.turn != self._turn:
            self._turn = beat.turn
            self._asked_at = None
            self._silent_s = 0.0
            self.stuck_s = max(0.0, min(now - beat.since, gap))
        else:
            self._silent_s += gap
            self.stuck_s += gap
        if beat.activity is Activity.HUB:
            has_stopped = self._pulse and beat.turn > 0 and self._silent_s > PULSE_S
            self.stuck_s = self._silent_s if has_stopped else 0.0
            return Verdict.OVERDUE if self.stuck_s > max(settings.stall_timeout_s, STOPPED_S) else Verdict.FINE
        timeout_s, limit_s = limits(beat, settings)
        if self.stuck_s > limit_s:
            return Verdict.OVERDUE
        if self._is_time_to_ask(timeout_s):
            self._asked_at = self.stuck_s
            return Verdict.ASK
        return Verdict.FINE

    def _is_time_to_ask(self, timeout_s: float | None) -> bool:
        if timeout_s is not None and self.stuck_s >= timeout_s:
            return self._asked_at is None or self.stuck_s - self._asked_at >= INSIST_S
        if self.stuck_s < STALL_S:
            return False
        if self._asked_at is None:
            return True
        return timeout_s is not None and self.stuck_s - self._asked_at >= ASK_S


def limits(beat: Beat, settings: Settings) -> tuple[float | None, float]:
    """The time limit of the job on the CPU, if any, and after how long a process stuck with it is killed: seconds."""
    timeout_s: float | None = None
    limit_s = settings.stall_timeout_s
    if beat.activity is Activity.JOB and beat.function != NO_FUNCTION and beat.function < len(settings.functions):
        function = settings.functions[beat.function]
        timeout_s = function.timeout_s
        if timeout_s is not None:
            limit_s = min(limit_s, timeout_s + function.timeout_grace_s + IN_PLACE_S)
    return timeout_s, limit_s
