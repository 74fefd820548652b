"""The supervisor's event loop: file descriptors, timers and signals in one thread. Floor 4; stdlib only.

Invariant: signal handlers do nothing; the signal number arrives through a pipe and is handled like any other event. An
exception in a callback is logged and does not end the loop, so the supervisor survives its own bugs.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable
from typing import Any

from gearpool import logs
from gearpool.timing import MAX_WAIT_S

log = logging.getLogger("gearpool.supervisor")

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Timer:
    """A scheduled call."""

    __slots__ = ("at", "call", "order")

    def __init__(self, at: float, order: int, call: Callable[[], object]) -> None:
        self.at = at
        self.order = order
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Cancel the call; does nothing if it was made already."""
        self.call = None

    def __lt__(self, other: Timer) -> bool:
        return (self.at, self.order) < (other.at, other.order)


class Loop:
    """Calls back for descriptors, timers and signals. `run` returns after `stop`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._order = itertools.count()
        self._running = False
        self._signals: dict[int, Callable[[], object]] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_read, READ, self._signalled)

    def watch(self, fd: int, events: int, call: Callable[[int], object]) -> None:
        """Call ``call(mask)`` whenever ``fd`` is ready for ``events``; replaces an earlier call for this ``fd``."""
        try:
            self._selector.modify(fd, events, call)
        except KeyError:
            self._selector.register(fd, events, call)

    def forget(self, fd: int) -> None:
        """Stop watching ``fd``, if it is watched. Call this before closing it."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def later(self, delay_s: float, call: Callable[[], object]) -> Timer:
        """Make the call ``delay_s`` seconds from now."""
        timer = Timer(time.monotonic() + max(0.0, delay_s), next(self._order), call)
        heapq.heappush(self._timers, timer)
        return timer

    def soon(self, call: Callable[[], object]) -> Timer:
        """Make the call before the loop waits again."""
        return self.later(0.0, call)

    def on_signal(self, number: int, call: Callable[[], object]) -> None:
        """Make the call in the loop for each signal ``number``. Only the main thread may use this."""
        self._signals[number] = call
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(number, _nothing)

    def stop(self) -> None:
        """Have `run` return after the current callback."""
        self._running = False

    def run(self) -> None:
        """Run until `stop` is called."""
        self._running = True
        while self._running:
            for key, mask in self._selector.select(self._wait()):
                # An earlier callback of this round may have closed this descriptor.
                if self._running and self._selector.get_map().get(key.fd) is key:
                    self._guarded(key.data, mask)
            now = time.monotonic()
            while self._running and self._timers and self._timers[0].at <= now:
                timer = heapq.heappop(self._timers)
                if timer.call is not None:
                    self._guarded(timer.call)

    def close(self) -> None:
        """Release all resources and restore the default signal actions."""
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        if self._signals:
            signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wait(self) -> float | None:
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return min(max(0.0, self._timers[0].at - time.monotonic()), MAX_WAIT_S)

    def _signalled(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._wake_read, 4096):
                call = self._signals.get(number)
                if call is not None:
                    self._guarded(call)

    def _guarded(self, call: Callable[..., object], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - the loop must survive
            logs.emit(log, logging.ERROR, "supervisor.error", f"internal error: {error!r}", exc_info=error)


def _nothing(_number: int, _frame: object) -> None:
    """The loop learns of the signal by the wakeup descriptor, which only works if there is a handler."""
