"""Rate limit and circuit breaker of a function: they hold back grabs although slots are free. Floor 3; pure.

Invariant: a gate only decides how many jobs may be grabbed now and when to ask again. A job that was grabbed is run.
"""

from __future__ import annotations

import enum
import math

from gearpool.settings import BreakerSettings


class Rate:
    """A token bucket: ``per_s`` jobs a second, with a burst of at most one second's worth (at least one job)."""

    def __init__(self, per_s: float, now: float) -> None:
        self.per_s = per_s
        self._burst = max(1.0, per_s)
        self._tokens = self._burst
        self._at = now

    def change(self, per_s: float, now: float) -> None:
        """A new rate from now on."""
        self._fill(now)
        self.per_s = per_s
        self._burst = max(1.0, per_s)
        self._tokens = min(self._tokens, self._burst)

    def allowed(self, now: float) -> int:
        """How many jobs may be grabbed now."""
        self._fill(now)
        return int(self._tokens)

    def take(self, count: int) -> None:
        """``count`` grabs are sent."""
        self._tokens -= count

    def give_back(self, count: int) -> None:
        """``count`` grabs brought no job."""
        self._tokens = min(self._burst, self._tokens + count)

    def wait_s(self, now: float) -> float:
        """Seconds until a grab is allowed; 0.0 if one is allowed now."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self.per_s)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self.per_s)
            self._at = now


class BreakerState(enum.Enum):
    """CLOSED allows all jobs, OPEN none, PROBING exactly one."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """Stops grabbing after consecutive failures, so that the jobs stay on the server, where other hosts can take them.

    CLOSED → OPEN after ``failures`` failures in a row within ``within_s``; OPEN → PROBING after ``pause_s``;
    PROBING → CLOSED when the probe succeeds, → OPEN when it fails.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self.state = BreakerState.CLOSED
        self._failed_at: list[float] = []
        self._until = 0.0
        self._probes = 0

    def allowed(self, now: float) -> int | None:
        """How many jobs may be grabbed now; None without limit."""
        if self.state is BreakerState.CLOSED:
            return None
        if self.state is BreakerState.OPEN:
            if now < self._until:
                return 0
            self.state = BreakerState.PROBING
            self._probes = 0
        return 1 - self._probes

    def take(self, count: int) -> None:
        """``count`` grabs are sent."""
        if self.state is BreakerState.PROBING:
            self._probes += count

    def give_back(self, count: int) -> None:
        """``count`` grabs brought no job, or one that will not be run."""
        if self.state is BreakerState.PROBING:
            self._probes = max(0, self._probes - count)

    def wait_s(self, now: float) -> float:
        """Seconds until a grab is allowed; infinite while the probe job is running."""
        if self.state is BreakerState.OPEN:
            return max(0.0, self._until - now)
        return math.inf if self.state is BreakerState.PROBING and self._probes else 0.0

    def succeeded(self) -> bool:
        """A job succeeded. True if this closed the breaker."""
        self._failed_at.clear()
        closed = self.state is BreakerState.PROBING
        if closed:
            self.state = BreakerState.CLOSED
        return closed

    def failed(self, now: float) -> bool:
        """A job failed. True if this opened the breaker."""
        if self.state is BreakerState.OPEN:
            return False
        if self.state is BreakerState.PROBING:
            self._open(now)
            return True
        failed = self._failed_at
        failed.append(now)
        while failed and failed[0] < now - self.settings.within_s:
            failed.pop(0)
        if len(failed) >= self.settings.failures:
            self._open(now)
            return True
        return False

    def _open(self, now: float) -> None:
        self.state = BreakerState.OPEN
        self._until = now + self.settings.pause_s
        self._failed_at.clear()
