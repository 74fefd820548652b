"""Watches a child's heartbeat: reports a missing one, and decides when to kill the process. Floor 4.

The embedded job server and the web child write to their pages every second. A missing heartbeat means that the process was
stopped (SIGSTOP, a debugger), waits for a disk that does not respond, or runs an endless loop.

Invariant: only time in which the supervisor itself runs counts, so nothing is killed after the machine or container was
suspended. The warning comes long before the kill, because with `store: memory` the waiting jobs die with the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gearpool.supervisor.child import Child
from gearpool.supervisor.loop import Loop, Timer
from gearpool.timing import Clock

HEARTBEAT_S = 1.0
"""How often the child writes; see `gearpool.children`."""
WARN_S = 10.0
"""Time without a heartbeat that is logged as an error."""
KILL_S = 60.0
"""Time without a heartbeat after which the process is killed. By then all workers and clients have disconnected."""
WEB_KILL_S = 20.0
"""The same for the web child, which holds nothing that could be lost."""
MAX_GAP_S = 2.0
"""At most this much of the time between two readings is counted."""


class Heartbeat:
    """The heartbeat of one child. The callbacks get the seconds without a heartbeat.

    Args:
        loop: runs the timer.
        child: the child.
        on_silent: called once there was no heartbeat for ``warn_s``.
        on_responding: called when the heartbeat returns after that.
        on_timeout: called once there was no heartbeat for ``kill_s``.
        warn_s: see WARN_S.
        kill_s: see KILL_S.
        clock: as `time.monotonic`.

    Attributes:
        silent_s: seconds without a heartbeat, as far as they count.
    """

    def __init__(
        self,
        loop: Loop,
        child: Child,
        *,
        on_silent: Callable[[float], object],
        on_responding: Callable[[float], object],
        on_timeout: Callable[[float], object],
        warn_s: float = WARN_S,
        kill_s: float = KILL_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._loop = loop
        self._child = child
        self._on_silent, self._on_responding, self._on_timeout = on_silent, on_responding, on_timeout
        self._warn_s = min(warn_s, kill_s / 2)
        self._kill_s = kill_s
        self._clock = clock
        self._read_at = clock()
        self._seen = child.read_page().sequence
        self._warned = False
        self.silent_s = 0.0
        self._timer: Timer = loop.later(HEARTBEAT_S, self._check)

    @property
    def is_silent(self) -> bool:
        """Whether the heartbeat has been missing for ``warn_s``."""
        return self._warned

    def stop(self) -> None:
        """Stop watching; idempotent."""
        self._timer.cancel()

    def _check(self) -> None:
        now, sequence = self._clock(), self._child.read_page().sequence
        gap, self._read_at = min(now - self._read_at, MAX_GAP_S), now
        if sequence == self._seen:
            self.silent_s += gap
        else:
            if self._warned:
                self._warned = False
                self._on_responding(self.silent_s)
            self._seen, self.silent_s = sequence, 0.0
        if self.silent_s >= self._kill_s:
            self._on_timeout(self.silent_s)
            return
        if self.silent_s >= self._warn_s and not self._warned:
            self._warned = True
            self._on_silent(self.silent_s)
        self._timer = self._loop.later(HEARTBEAT_S, self._check)
