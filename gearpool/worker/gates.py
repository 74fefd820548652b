"""What keeps a function from grabbing although slots are free: its rate, and its breaker. Floor 3; pure, fake clock.

Law: a gate only ever says how many jobs may be asked for now and when to ask again. A job that was grabbed is run.
"""

from __future__ import annotations

import enum
import math

from gearpool.settings import BreakerSettings


class Rate:
    """A token bucket: ``per_s`` jobs started a second, at most one second's worth saved up (at least one)."""

    def __init__(self, per_s: float, now: float) -> None:
        self.per_s = per_s
        self._most = max(1.0, per_s)
        self._tokens = self._most
        self._at = now

    def change(self, per_s: float, now: float) -> None:
        """A new rate from now on."""
        self._fill(now)
        self.per_s = per_s
        self._most = max(1.0, per_s)
        self._tokens = min(self._tokens, self._most)

    def allowed(self, now: float) -> int:
        """How many jobs may start now."""
        self._fill(now)
        return int(self._tokens)

    def take(self, count: int) -> None:
        """``count`` jobs are asked for."""
        self._tokens -= count

    def give_back(self, count: int) -> None:
        """``count`` of them did not come."""
        self._tokens = min(self._most, self._tokens + count)

    def wait_s(self, now: float) -> float:
        """Seconds until one more is allowed; 0.0 if one is."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self.per_s)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._most, self._tokens + (now - self._at) * self.per_s)
            self._at = now


class BreakerState(enum.Enum):
    """CLOSED lets jobs through, OPEN none, PROBING exactly one."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """Stops the grabbing after consecutive failures, so that the jobs wait on the server for another host.

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
        """How many jobs may be asked for: None without limit, 0 none."""
        if self.state is BreakerState.CLOSED:
            return None
        if self.state is BreakerState.OPEN:
            if now < self._until:
                return 0
            self.state = BreakerState.PROBING
            self._probes = 0
        return 1 - self._probes

    def asked(self, count: int) -> None:
        """``count`` jobs are asked for."""
        if self.state is BreakerState.PROBING:
            self._probes += count

    def gave_back(self, count: int) -> None:
        """``count`` of them did not come, or will not be run to an end."""
        if self.state is BreakerState.PROBING:
            self._probes = max(0, self._probes - count)

    def wait_s(self, now: float) -> float:
        """Seconds until something may be asked for; infinite while a probe is out."""
        if self.state is BreakerState.OPEN:
            return max(0.0, self._until - now)
        return math.inf if self.state is BreakerState.PROBING and self._probes else 0.0

    def succeeded(self) -> bool:
        """A job ended well. True if this closed the breaker."""
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
