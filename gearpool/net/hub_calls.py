"""Lets other threads call into the event loop of one thread. Floor 2.

A gevent event loop, and everything that waits in it, belongs to the thread in which it was made: used from another
thread, greenlets fail with "cannot switch to a different thread", or hang. `HubCalls` is the one safe way in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent.hub import get_hub
from gevent.monkey import get_original

from gearpool.errors import TimedOut, UsageError

_T = TypeVar("_T")
_get_ident, _allocate_lock, _new_rlock = get_original("_thread", ["get_ident", "allocate_lock", "RLock"])


class HubCalls:
    """Calls into the event loop of the thread that made this object.

    `post` and `call` may be used from any thread, `post` also from a signal handler. `close` is for the owning thread.
    """

    def __init__(self) -> None:
        self._hub = get_hub()
        self._thread = _get_ident()
        self._calls: deque[Callable[[], object]] = deque()
        self._greenlets: set[gevent.Greenlet] = set()
        # Reentrant: a signal handler may post while the same thread is posting.
        self._lock = _new_rlock()
        self._closed = False
        self._bell: Any = self._hub.loop.async_(ref=False)
        self._bell.start(self._serve)

    @property
    def here(self) -> bool:
        """Whether the calling thread is the one that owns the event loop."""
        # The system gives a finished thread's number to a new one, which then has another event loop.
        return bool(_get_ident() == self._thread) and get_hub() is self._hub

    def post(self, function: Callable[[], object]) -> bool:
        """Have ``function`` called in a greenlet of the event loop, soon. False if the loop takes no more calls."""
        with self._lock:
            if self._closed:
                return False
            self._calls.append(function)
            self._bell.send()
            return True

    def call(self, function: Callable[[], _T], timeout: float) -> _T:
        """Call ``function`` in the event loop and wait for it; what it raises is raised here.

        Args:
            function: called in a greenlet of its own, so it may wait.
            timeout: seconds to wait. The call itself continues after that.

        Raises:
            TimedOut: it did not return in time: the loop is blocked, or its thread no longer runs it.
            UsageError: the loop takes no more calls.
        """
        results: list[_T] = []
        errors: list[BaseException] = []
        # A native lock: it works between threads whatever is monkey-patched. In a greenlet of another event loop, that
        # loop waits, too; this is for starting, stopping and declaring, which are short and rare.
        done = _allocate_lock()
        done.acquire()

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                errors.append(error)
            finally:
                done.release()

        if not self.post(run):
            raise UsageError("the event loop has ended")
        if not done.acquire(timeout=timeout):
            raise TimedOut(f"the thread of the event loop did not answer within {timeout:g} s")
        if errors:
            raise errors[0]
        return results[0]

    def close(self) -> None:
        """Take no more calls; those that came are carried out first. Waits in the calling greenlet. May be repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._serve()
        me = gevent.getcurrent()
        gevent.joinall([each for each in self._greenlets if each is not me])
        self._bell.stop()
        self._bell.close()

    def _serve(self) -> None:
        while self._calls:
            greenlet = gevent.spawn(self._calls.popleft())
            self._greenlets.add(greenlet)
            greenlet.rawlink(self._greenlets.discard)
