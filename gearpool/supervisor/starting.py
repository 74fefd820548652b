"""Watches over processes that are starting: warns with the line that hangs, and gives them up at a limit. Floor 4.

Law: one limit for every start: the check of the configuration, the first workers, replacements, those of a reload, of a
recycling or of a resize, and the job server. Time counts only while the supervisor itself runs.
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
"""A start that takes so long is warned of; at half the limit if that is sooner."""
LOOK_S = 1.0
MAX_GAP_S = 2.0
"""At most so much of the time between two looks is counted: in the rest the supervisor did not run either."""

log = logging.getLogger("gearpool.supervisor")


class Starting(Protocol):
    """A process that is to become ready."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def starting(self) -> bool:
        """Whether it is still to become ready, and not told to leave."""

    def signal(self, number: int) -> None:
        """Send it a signal."""

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        """Have its faulthandler write where it is; ``then(stacks)`` is called once."""


@dataclass
class _Start:
    process: Starting
    name: str
    overdue: Callable[[str], object]
    waited_s: float = 0.0
    warned: bool = False
    given_up: bool = False


class Starts:
    """All processes of one daemon that are starting.

    Args:
        loop: where the time passes.
        limit_s: how long a start may take.
        clock: as `time.monotonic`.
    """

    def __init__(self, loop: Loop, limit_s: float, clock: Clock = time.monotonic) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._warn_s = min(WARN_S, limit_s / 2)
        self._clock = clock
        self._looked = 0.0
        self._starts: list[_Start] = []
        self._timer: Timer | None = None

    def watch(self, process: Starting, name: str, overdue: Callable[[str], object]) -> None:
        """Watch over ``process`` until it is ready or has ended.

        Args:
            process: what starts.
            name: what it is called in the log, such as ``worker 123``.
            overdue: called with the reason when it has taken too long; it is to be killed then.
        """
        self._starts.append(_Start(process, name, overdue))
        if self._timer is None:
            self._looked = self._clock()
            self._again()

    def _again(self) -> None:
        self._timer = self._loop.later(min(LOOK_S, self._warn_s / 2), self._look)

    def _look(self) -> None:
        now = self._clock()
        gap = min(now - self._looked, MAX_GAP_S)
        self._looked = now
        self._starts = [start for start in self._starts if start.process.starting and not start.given_up]
        for start in self._starts:
            start.waited_s += gap
            if start.waited_s >= self._limit_s:
                start.given_up = True
                self._ask_where(start, self._give_up)
            elif start.waited_s >= self._warn_s and not start.warned:
                start.warned = True
                self._ask_where(start, self._warn)
        if self._starts:
            self._again()
        else:
            self._timer = None

    def _ask_where(self, start: _Start, then: Callable[[_Start, str], None]) -> None:
        """Have it show where it is: SIGUSR1 what is on its CPU, SIGUSR2 the greenlet that imports, if that waits."""
        process = start.process

        def answered(stacks: str) -> None:
            if process.starting:
                then(start, stacks)

        process.ask_for_stacks(answered)
        process.signal(signal.SIGUSR2)

    def _warn(self, start: _Start, stacks: str) -> None:
        at = importing_line(stacks)
        where = f" It is at {at}." if at else ""
        logs.emit(
            log,
            logging.WARNING,
            "start.slow",
            f"{start.name} is not ready after {start.waited_s:.0f} s; it is given up after {self._limit_s:g} s.{where}",
            worker=start.process.pid,
            at=at,
            stacks=stacks or None,
        )

    def _give_up(self, start: _Start, stacks: str) -> None:
        at = importing_line(stacks)
        reason = f"{start.name} was not ready after {self._limit_s:g} s" + (f"; it hangs at {at}" if at else "")
        logs.emit(
            log,
            logging.ERROR,
            "start.overdue",
            f"{reason}; killing it",
            worker=start.process.pid,
            at=at,
            stacks=stacks or None,
        )
        start.overdue(reason)
