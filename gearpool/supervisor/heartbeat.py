"""Watches the embedded job server's heartbeat: says when its event loop stands still, and when to give it up. Floor 4.

The job server writes to its page every second, whatever it does. Silence means that it was stopped (SIGSTOP, a debugger),
waits for a disk that does not answer, or loops.

Law: only silence that lasts while the supervisor itself runs counts: after a suspended machine or a frozen container
nothing is killed. It is said long before it is acted on, for with `store: memory` the waiting jobs go with the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gearpool.supervisor.child import Child
from gearpool.supervisor.loop import Loop, Timer
from gearpool.timing import Clock

BEAT_S = 1.0
"""How often the job server writes; see `gearpool.children.jobserver`."""
WARN_S = 10.0
"""Silence that is logged as an error."""
KILL_S = 60.0
"""Silence after which its process is killed and replaced. By then every worker and client has given up its connection."""
MAX_GAP_S = 2.0
"""At most so much of the time between two looks is counted."""


class Heartbeat:
    """One job server's.

    Args:
        loop: where the time passes.
        child: whose page is read.
        silent: called once with the seconds when it has been silent for ``warn_s``.
        again: called when it beats again after that, with how long it was silent.
        given_up: called once when it has been silent for ``kill_s``.
        warn_s: see WARN_S.
        kill_s: see KILL_S.
        clock: as `time.monotonic`.

    Attributes:
        silent_s: seconds since its last beat, as far as they count.
    """

    def __init__(
        self,
        loop: Loop,
        child: Child,
        *,
        silent: Callable[[float], object],
        again: Callable[[float], object],
        given_up: Callable[[float], object],
        warn_s: float = WARN_S,
        kill_s: float = KILL_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._loop = loop
        self._child = child
        self._silent, self._again, self._given_up = silent, again, given_up
        self._warn_s = min(warn_s, kill_s / 2)
        self._kill_s = kill_s
        self._clock = clock
        self._looked = clock()
        self._seen = child.beat().turn
        self._warned = False
        self.silent_s = 0.0
        self._timer: Timer = loop.later(BEAT_S, self._look)

    @property
    def is_silent(self) -> bool:
        """Whether it has been silent for so long that something is wrong."""
        return self._warned

    def stop(self) -> None:
        """Look no more; idempotent."""
        self._timer.cancel()

    def _look(self) -> None:
        now, turn = self._clock(), self._child.beat().turn
        gap, self._looked = min(now - self._looked, MAX_GAP_S), now
        if turn == self._seen:
            self.silent_s += gap
        else:
            if self._warned:
                self._warned = False
                self._again(self.silent_s)
            self._seen, self.silent_s = turn, 0.0
        if self.silent_s >= self._kill_s:
            self._given_up(self.silent_s)
            return
        if self.silent_s >= self._warn_s and not self._warned:
            self._warned = True
            self._silent(self.silent_s)
        self._timer = self._loop.later(BEAT_S, self._look)
