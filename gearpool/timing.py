"""Deadlines on the monotonic clock, durations, and back-off.

Floor 0. Timeouts are not subtracted from each other: a Deadline is made once, where the caller gives a timeout, and handed
down.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from gearpool.errors import InvalidArgument

Clock = Callable[[], float]

MAX_WAIT_S = 3600.0
"""Longer waits are split into waits of this length: system calls and event loops refuse timeouts of years."""

Duration = float | dt.timedelta
"""A duration as a caller passes it: seconds, or a timedelta."""


def seconds_of(duration: Duration, what: str = "timeout") -> float:
    """A caller's duration in seconds.

    Args:
        duration: seconds or a timedelta, 0 or more.
        what: the argument's name, for the error.

    Raises:
        InvalidArgument: it is negative, not a number, or text.
    """
    seconds = duration.total_seconds() if isinstance(duration, dt.timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InvalidArgument(f"{what} must be 0 or more seconds or a timedelta, got {duration!r}")
    try:
        return float(seconds)
    except OverflowError:
        return math.inf


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock (seconds); ``math.inf`` means never."""

    at: float

    @classmethod
    def after(cls, seconds: float | None, clock: Clock = time.monotonic) -> Deadline:
        """A deadline ``seconds`` from now; None means never.

        Raises:
            InvalidArgument: that is no number: with nan nothing would ever be late.
        """
        if seconds is None:
            return cls(math.inf)
        if not isinstance(seconds, int | float) or math.isnan(seconds):
            raise InvalidArgument(f"a timeout is a number of seconds or None, got {seconds!r}")
        return cls(clock() + seconds)

    @classmethod
    def allowed(cls, timeout: Duration | None, what: str = "timeout") -> Deadline:
        """The deadline for a caller's timeout; None means never.

        Raises:
            InvalidArgument: see `seconds_of`.
        """
        return cls(math.inf if timeout is None else time.monotonic() + seconds_of(timeout, what))

    @classmethod
    def never(cls) -> Deadline:
        """A deadline that never passes."""
        return cls(math.inf)

    def remaining(self, clock: Clock = time.monotonic) -> float:
        """Seconds left, never below 0; ``math.inf`` when there is no end."""
        return max(0.0, self.at - clock())

    def timeout(self, clock: Clock = time.monotonic) -> float | None:
        """For socket calls: seconds left, or None without an end."""
        return None if self.at == math.inf else self.remaining(clock)

    def expired(self, clock: Clock = time.monotonic) -> bool:
        """True once the deadline has passed."""
        return clock() >= self.at

    def share(self, parts: int) -> Deadline:
        """A deadline for one of several attempts in a row: an equal part of the time left."""
        left = self.timeout()
        return self if left is None or parts == 1 else Deadline.after(left / parts)

    def earlier(self, other: Deadline) -> Deadline:
        """The earlier of two deadlines."""
        return self if self.at <= other.at else other


def exponential(attempt: int, first_s: float, factor: float, max_s: float) -> float:
    """The delay in seconds before try ``attempt + 1`` (``attempt`` counts from 1), capped at ``max_s``."""
    try:
        growth = float(factor) ** (attempt - 1)
    except OverflowError:
        growth = math.inf
    # Nothing stays nothing, however often it is doubled.
    return min(first_s * growth, max_s) if first_s > 0 else 0.0


def jittered(delay_s: float, share: float, rng: Callable[[], float] = random.random) -> float:
    """``delay_s`` moved by up to ``share`` (0 … 1) of itself either way."""
    return max(0.0, delay_s * (1.0 + share * (2.0 * rng() - 1.0)))


class Backoff:
    """Delays with full jitter for reconnecting: uniform in (0, cap], the cap doubling up to ``max_s``.

    Full jitter best spreads clients whose server has come back; see the AWS Architecture Blog's
    "Exponential Backoff And Jitter". The lowest tenth is left out so that two tries never coincide.
    """

    def __init__(self, first_s: float, max_s: float, rng: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._rng = rng
        self.tries: int = 0

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        self.tries += 1
        cap = exponential(self.tries, self._first_s, 2.0, self._max_s)
        return cap * (0.1 + 0.9 * self._rng())

    def reset(self) -> None:
        """An attempt succeeded: start again from the first delay."""
        self.tries = 0
