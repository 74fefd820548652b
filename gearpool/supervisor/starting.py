"""Watches processes that are starting: warns about a slow start, and gives up on one that hangs. Floor 4.

Invariant: every start has the same time limit: the checker, every worker and the job server. Only time in which the
supervisor itself runs counts.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gearpool import logs
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.stacks import importing_line
from gearpool.timing import Clock

WARN_S = 15.0
"""A warning is logged after this time, or at half the limit if that is sooner."""
CHECK_S = 1.0
MAX_GAP_S = 2.0
"""At most this much of the time between two checks is counted; in a longer gap the supervisor did not run either."""

log = logging.getLogger("gearpool.supervisor")


class StartingProcess(Protocol):
    """A process that has yet to become ready."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def starting(self) -> bool:
        """Whether it has yet to become ready and is still wanted."""

    def signal(self, number: int) -> None:
        """Send it a signal."""

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        """Have its faulthandler write its stacks; ``then(stacks)`` is called once."""


@dataclass
class _Start:
    process: StartingProcess
    name: str
    overdue: Callable[[str], object]
    waited_s: float = 0.0
    warned: bool = False
    given_up: bool = False


class StartupWatch:
    """Watches all starting processes of one daemon.

    Args:
        loop: runs the timer.
        limit_s: how long a start may take.
        clock: as `time.monotonic`.
    """

    def __init__(self, loop: Loop, limit_s: float, clock: Clock = time.monotonic) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._warn_s = min(WARN_S, limit_s / 2)
        self._period_s = min(CHECK_S, self._warn_s / 2)
        self._clock = clock
        self._checked_at = 0.0
        self._starting: list[_Start] = []
        self._timer: Timer | None = None

    def watch(self, process: StartingProcess, name: str, overdue: Callable[[str], object]) -> None:
        """Watch ``process`` until it is ready or has ended.

        Args:
            process: the process.
            name: its name in log messages, such as ``worker 123``.
            overdue: called with the reason when it has taken too long; should kill it.
        """
        self._starting.append(_Start(process, name, overdue))
        if self._timer is None:
            self._checked_at = self._clock()
            self._timer = self._loop.later(self._period_s, self._check)

    def _check(self) -> None:
        now = self._clock()
        gap = min(now - self._checked_at, MAX_GAP_S)
        self._checked_at = now
        self._starting = [start for start in self._starting if start.process.starting and not start.given_up]
        for start in self._starting:
            start.waited_s += gap
            if start.waited_s >= self._limit_s:
                start.given_up = True
                self._ask_where(start, self._give_up)
            elif start.waited_s >= self._warn_s and not start.warned:
                start.warned = True
                self._ask_where(start, self._warn)
        self._timer = self._loop.later(self._period_s, self._check) if self._starting else None

    def _ask_where(self, start: _Start, then: Callable[[_Start, str], None]) -> None:
        """Get its stacks: SIGUSR1 dumps the threads, SIGUSR2 adds the importing greenlet if that waits in the event loop."""
        process = start.process

        def answered(stacks: str) -> None:
            if process.starting:
                then(start, stacks)

        process.ask_for_stacks(answered)
        process.signal(signal.SIGUSR2)

    def _warn(self, start: _Start, stacks: str) -> None:
        at = importing_line(stacks)
        where = f" It is currently at {at}." if at else ""
        text = f"{start.name} is not ready after {start.waited_s:.0f} s; it will be killed after {self._limit_s:g} s.{where}"
        logs.emit(log, logging.WARNING, "start.slow", text, worker=start.process.pid, at=at, stacks=stacks or None)

    def _give_up(self, start: _Start, stacks: str) -> None:
        at = importing_line(stacks)
        reason = f"{start.name} was not ready after {self._limit_s:g} s" + (f"; it hangs at {at}" if at else "")
        fields = {"worker": start.process.pid, "at": at, "stacks": stacks or None}
        logs.emit(log, logging.ERROR, "start.overdue", f"{reason}; killing it", **fields)
        start.overdue(reason)
