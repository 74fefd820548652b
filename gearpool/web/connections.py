"""The open connections: how many there may be, and which one makes room for a new one. Floor 3; pure.

Invariant: a client that sends its request at once is served, however many others wait. At the limit a new connection
takes the place of the one that has been waiting for the longest time to send a request; one whose request is being served
is never closed for another.
"""

from __future__ import annotations

from collections.abc import Callable

MAX_CONNECTIONS = 256


class Connections:
    """Connections by key, with how to close each.

    Args:
        limit: how many there may be.
    """

    def __init__(self, limit: int = MAX_CONNECTIONS) -> None:
        self._limit = limit
        # Both in the order in which connections entered.
        self._waiting: dict[object, Callable[[], object]] = {}
        self._serving: dict[object, Callable[[], object]] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._serving)

    @property
    def serving(self) -> int:
        """Connections with a request that is being served."""
        return len(self._serving)

    def add(self, key: object, close: Callable[[], object]) -> bool:
        """A new connection waits for its first request; False if there is no room for it."""
        if len(self) >= self._limit:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return False
            self._waiting.pop(oldest)()
        self._waiting[key] = close
        return True

    def serve(self, key: object) -> bool:
        """A request has arrived whole; False if the connection was closed meanwhile."""
        close = self._waiting.pop(key, None)
        if close is None:
            return False
        self._serving[key] = close
        return True

    def wait(self, key: object) -> None:
        """Its request is served; it waits for the next one."""
        close = self._serving.pop(key, None)
        if close is not None:
            self._waiting[key] = close

    def remove(self, key: object) -> None:
        """It is closed."""
        self._waiting.pop(key, None)
        self._serving.pop(key, None)

    def close_waiting(self) -> None:
        """Close every connection that waits for a request."""
        waiting, self._waiting = self._waiting, {}
        for close in waiting.values():
            close()
