"""Counts the times in which a handler blocked the event loop, from their first notice to their end. Floor 3.

A stall is counted when it is noticed, which may be in a signal handler, and measured when the event loop runs again. One
that the supervisor ends together with the process is measured by the supervisor.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import FrameType

from gevent.hub import get_hub

from gearpool.figures import Figures
from gearpool.jobs import Job
from gearpool.page import Reading
from gearpool.places import Frame, stack_of
from gearpool.worker.failures import Failures
from gearpool.worker.functions import Function
from gearpool.worker.ownership import Origin


class Stalls:
    """The stalls of one process.

    Args:
        figures: where they are counted.
        failures: where they are grouped by place, once they have ended.
        functions: the functions of this process by name.
    """

    def __init__(self, figures: Figures, failures: Failures, functions: Mapping[str, Function]) -> None:
        self._figures = figures
        self._failures = failures
        self._functions = functions
        self._longest_s = 0.0

    def began(self, reading: Reading, job: Job | Origin | None, frame: FrameType) -> None:
        """A stall was noticed: the page shows ``reading``, and its code is at ``frame``. Safe in a signal handler."""
        self._figures.stall_began(reading.function, reading.sequence)
        function = self._functions.get(job.function) if job is not None else None
        handle = reading.handle.decode("utf-8", "backslashreplace") or None
        get_hub().loop.run_callback(self._ended, reading.since, function, handle, stack_of(frame))

    def take_longest(self) -> float:
        """The longest stall that has ended since the last call, in seconds; 0 if there was none."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s

    def _ended(self, since: float, function: Function | None, handle: str | None, frames: tuple[Frame, ...]) -> None:
        seconds = time.monotonic() - since
        self._longest_s = max(self._longest_s, seconds)
        self._figures.stall_ended(seconds)
        self._failures.stalled(function, handle, frames, seconds)
