"""Gets the stacks of a child: on SIGUSR1 its faulthandler writes them into shared memory. Floor 4.

Invariant: a dump is read when it is complete (it ends with a whole line and has stopped growing), but no later than
`MAX_WAIT_S`, because the child may be stopped, dead or short of CPU time.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

from gearpool.supervisor.loop import Loop, Timer
from gearpool.timing import Clock

VARIABLE = "GEARPOOL_STACKS_FD"
"""Environment variable with the descriptor, for the child."""
CHECK_S = 0.05
QUIET_S = 0.15
"""A dump that has not grown for this long is complete."""
MAX_WAIT_S = 1.5
"""Time limit for a child to write its stacks."""

_SMALL = 1 << 20
_IMPORTING = re.compile(r'^ *File "([^"\n]+)", line (\d+),? in <module>$', re.MULTILINE)
_STARTS_US = re.compile(r"(^|/)gearpool/children/[a-z]+\.py$")


class Stacks:
    """The shared memory of one child. The constructor raises OSError if the system has none left.

    Args:
        loop: runs the timers.
        clock: as `time.monotonic`.
    """

    def __init__(self, loop: Loop, clock: Clock = time.monotonic) -> None:
        self.fd = os.memfd_create("gearpool-stacks", os.MFD_CLOEXEC)
        self._loop = loop
        self._clock = clock
        self._waiting: list[Callable[[str], object]] = []
        self._timer: Timer | None = None
        self._asked_at = self._grown_at = 0.0
        self._size = 0

    def ask(self, send: Callable[[int], object], then: Callable[[str], object]) -> None:
        """Have the child write its stacks.

        Args:
            send: sends it a signal; not called while an earlier request is still being served.
            then: called once with the stacks when they are complete, or after `MAX_WAIT_S` with what was written.
        """
        self._waiting.append(then)
        if self._timer is None:
            self.take()
            self._size = 0
            self._asked_at = self._grown_at = self._clock()
            self._timer = self._loop.later(CHECK_S, self._check)
            send(signal.SIGUSR1)

    def take(self) -> str:
        """What was written since the last call, empty if nothing."""
        text = self._written()
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        return text.decode("utf-8", "backslashreplace").strip("\0\n")

    def close(self) -> None:
        """Release the memory. Callers that still wait get what has been written."""
        if self._timer is not None:
            self._timer.cancel()
            text, waiting = self.take(), self._done()
            self._loop.later(0.0, lambda: _deliver(waiting, text))
        os.close(self.fd)

    def _written(self) -> bytes:
        return os.pread(self.fd, min(os.fstat(self.fd).st_size, _SMALL), 0)

    def _check(self) -> None:
        now, size = self._clock(), os.fstat(self.fd).st_size
        if size != self._size:
            self._size, self._grown_at = size, now
        is_quiet = size > 0 and now - self._grown_at >= QUIET_S
        if now - self._asked_at >= MAX_WAIT_S or (is_quiet and (size > _SMALL or self._written().endswith(b"\n"))):
            _deliver(self._done(), self.take())
        else:
            self._timer = self._loop.later(CHECK_S, self._check)

    def _done(self) -> list[Callable[[str], object]]:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        return waiting


def _deliver(waiting: list[Callable[[str], object]], text: str) -> None:
    for then in waiting:
        then(text)


def importing_line(stacks: str) -> str | None:
    """``FILE:LINE`` in the innermost module being imported, if any; ``stacks`` has the innermost frame first."""
    for file, line in _IMPORTING.findall(stacks):
        if not _STARTS_US.search(file):
            return f"{file}:{line}"
    return None
