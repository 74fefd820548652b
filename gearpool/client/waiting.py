"""Calls that a thread (or, in a monkey-patched process, a greenlet) can wait for. Floor 3.

Most calls are never waited for one by one, so nothing is allocated until a waiter comes. A waiter first adds its lock
to the list and then checks again; a change is made first and the list read afterwards: so one of the two always sees
the other.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from gearpool.client.requests import Request
from gearpool.client.session import Call
from gearpool.timing import Deadline

LATE_S = 0.5
"""A waiter that finds a limit passed by more than this could not run: it was stopped, or a greenlet did not yield."""

CATCH_UP_S = 1.0
"""What has arrived meanwhile then gets this long to be read, before it counts as missing."""


class Waitable(Call):
    """A call with a list of the waiters for its next change."""

    # Made by the first waiter. Making it, appending to it and popping from it are atomic: neither side needs a lock.
    _locks: list[threading.Lock] | tuple[()] = ()

    def _wake(self) -> None:
        """Something changed: wake all waiters."""
        locks = self._locks
        while isinstance(locks, list) and locks:
            try:
                lock = locks.pop()
            except IndexError:
                return
            lock.release()

    def _wait_until(self, changed: Callable[[], bool], deadline: Deadline) -> None:
        """Until ``changed()``, or the deadline."""
        if changed():
            return
        late = False
        locks: list[threading.Lock] = self.__dict__.setdefault("_locks", [])
        while not changed():
            lock = threading.Lock()
            lock.acquire()
            locks.append(lock)
            if changed():
                return
            timeout = deadline.timeout()
            if not lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
                with contextlib.suppress(ValueError):  # it was being woken at this moment
                    locks.remove(lock)
                if changed() or late or time.monotonic() - deadline.at < LATE_S:
                    return
                late, deadline = True, Deadline.after(CATCH_UP_S)


class Question(Request, Waitable):
    """A request whose answer a thread waits for."""

    def _changed(self) -> None:
        self._wake()

    def ask(self, deadline: Deadline) -> list[bytes] | None:
        """The arguments of the answer; None when the deadline came first.

        Raises:
            ServerError: the server answered ERROR.
            ConnectionLost: the connection ended first.
        """
        self._wait_until(self.settled, deadline)
        return self.outcome()
