"""The time limits of many jobs with few timers. Floor 3; the timer is handed in.

A limit is enforced within `TICK_S` after it, never before; after the loop was blocked nothing expires before what
arrived meanwhile has been read. Jobs are kept in buckets of one tick with one timer each: a timer per job would cost as
much as the rest of the job, and most never expire.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from gearpool.timing import Clock, Deadline

_T = TypeVar("_T")

TICK_S = 0.02
LATE_S = 0.5
"""A timer that comes so much too late comes after the loop was blocked."""


class Timer(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """Do not call."""


class TimeLimits(Generic[_T]):
    """Calls ``expired`` with everything that was not discarded in time.

    Args:
        call_later: calls a function after a number of seconds, as `asyncio.loop.call_later`.
        expired: called with what has expired.
        drained: whether nothing has been read since it was last called.
        clock: the monotonic clock of the deadlines.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[int], None], int], Timer],
        expired: Callable[[_T], None],
        drained: Callable[[], bool] = lambda: True,
        clock: Clock = time.monotonic,
    ) -> None:
        self._call_later = call_later
        self._expired = expired
        self._drained = drained
        self._clock = clock
        self._buckets: dict[int, tuple[set[_T], Timer]] = {}

    def __len__(self) -> int:
        return sum(len(bucket) for bucket, _ in self._buckets.values())

    def add(self, limited: _T, deadline: Deadline) -> None:
        """Watch this. Adding it again changes nothing."""
        at = deadline.at
        if at == math.inf:
            return
        tick = math.ceil(at / TICK_S)
        found = self._buckets.get(tick)
        if found is None:
            timer = self._call_later(max(0.0, tick * TICK_S - self._clock()), self._expire, tick)
            self._buckets[tick] = {limited}, timer
        else:
            found[0].add(limited)

    def discard(self, limited: _T, deadline: Deadline) -> None:
        """It has ended; perhaps it was not even watched."""
        at = deadline.at
        if at == math.inf:
            return
        tick = math.ceil(at / TICK_S)
        found = self._buckets.get(tick)
        if found is not None:
            bucket, timer = found
            bucket.discard(limited)
            if not bucket:
                timer.cancel()
                del self._buckets[tick]

    def _expire(self, tick: int) -> None:
        early = tick * TICK_S - self._clock()  # loops differ in how they round
        if early > 0 or (early < -LATE_S and not self._drained()):
            self._buckets[tick] = self._buckets[tick][0], self._call_later(max(0.0, early), self._expire, tick)
            return
        for limited in self._buckets.pop(tick)[0]:
            self._expired(limited)
