"""A native thread with a gevent event loop of its own. Floor 2.

It works whether or not the program is monkey-patched: neither the thread nor the locks are greenlets in disguise.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub
from gevent.monkey import get_original

_start_new_thread, _allocate_lock = get_original("_thread", ["start_new_thread", "allocate_lock"])


def start_native_thread(main: Callable[[], None]) -> Any:
    """Run ``main()`` in a native thread; returns a native lock that is free once it has ended.

    Debuggers and coverage tools see the thread as they see those of `threading`.
    """
    ended = _allocate_lock()
    ended.acquire()
    trace = threading.gettrace()

    def run() -> None:
        if trace is not None:
            sys.settrace(trace)
        try:
            main()
        finally:
            ended.release()

    _start_new_thread(run, ())
    return ended


class HubThread:
    """Runs ``main()`` in a native thread, and destroys the event loop that it used at its end."""

    def __init__(self, main: Callable[[], None]) -> None:
        self._main = main
        self._ended = start_native_thread(self._run)

    def join(self, timeout: float) -> bool:
        """Whether the thread has ended within ``timeout`` seconds. Blocks the calling thread, greenlets included."""
        ended = bool(self._ended.acquire(timeout=timeout))
        if ended:
            self._ended.release()
        return ended

    def _run(self) -> None:
        hub = get_hub()
        # Without any watcher gevent takes a wait for a deadlock; here another thread may always call.
        callable_from_outside = hub.loop.async_()
        callable_from_outside.start(lambda: None)
        try:
            self._main()
        finally:
            callable_from_outside.close()
            hub.destroy(destroy_loop=True)
