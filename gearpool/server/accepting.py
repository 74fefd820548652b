"""Accepts connections, within the limit of file descriptors. Floor 3.

A new connection is served or closed, never left waiting. At the limit, connections that take no part in any job are
closed to make room, the one that has been silent longest first.
"""

from __future__ import annotations

import errno
import heapq
import logging
import resource
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

import gevent

_RESERVED_DESCRIPTORS = 32
"""Descriptors kept free: for listeners, the store, the event loop, and the program around the server."""

_ACCEPTED_AT_ONCE = 64
_CLOSED_AT_ONCE = 64
_PAUSE_S = 0.5
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Guest(Protocol):
    """What this module uses of a connection."""

    heard_in: int
    """When something was received last; smaller is longer ago."""

    @property
    def idle(self) -> bool:
        """Whether it may be closed to make room."""

    def close(self, reason: str) -> None:
        """End it."""


class Acceptor:
    """The listening sockets of one server.

    Args:
        loop: gevent's loop.
        connections: those that are open.
        serve: called with a new socket and its peer's address.
        report: logs ``(level, event, message)``.
        max_connections: their limit; 0 for what the limit of file descriptors allows.
    """

    def __init__(
        self,
        loop: Any,
        connections: Callable[[], Collection[Guest]],
        serve: Callable[[Any, str], None],
        report: Callable[[int, str, str], None],
        max_connections: int = 0,
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._serve = serve
        self._report = report
        self._max = max_connections
        self._listeners: list[tuple[Any, Any]] = []

    def __bool__(self) -> bool:
        """Whether it listens."""
        return bool(self._listeners)

    def start(self, sockets: Iterable[Any]) -> None:
        """Accept from these listening, non-blocking sockets, and own them."""
        for sock in sockets:
            watcher = self._loop.io(sock.fileno(), 1)
            self._listeners.append((sock, watcher))
            watcher.start(self._accept, sock, watcher)

    def stop(self) -> None:
        """Close the listening sockets."""
        for sock, watcher in self._listeners:
            watcher.stop()
            watcher.close()
            sock.close()
        self._listeners.clear()

    def _accept(self, listener: Any, watcher: Any) -> None:
        room = True
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED or self._make_room():
                    continue
                # The kernel keeps new connections waiting; accepting again at once would spin.
                self._report(logging.ERROR, "server.full", f"cannot accept connections: {error.strerror}")
                watcher.stop()
                gevent.spawn_later(_PAUSE_S, self._accept_again, listener, watcher)
                return
            if len(self._connections()) >= self._room:
                # A search for idle ones walks over all connections; if there are none, once is enough.
                room = room and self._make_room()
            if room:
                self._serve(sock, str(address[0]))
                continue
            sock.close()
            self._report(
                logging.ERROR,
                "server.full",
                f"refused a connection: there are {len(self._connections())} already, each with a part in some job; "
                "raise the limit of file descriptors (ulimit -n, LimitNOFILE=)",
            )

    def _accept_again(self, listener: Any, watcher: Any) -> None:
        if any(each is watcher for _, each in self._listeners):
            watcher.start(self._accept, listener, watcher)

    @property
    def _room(self) -> int:
        return self._max or max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVED_DESCRIPTORS)

    def _make_room(self) -> bool:
        idle = [each for each in self._connections() if each.idle]
        # Several at once, because the search walks over all.
        few = min(_CLOSED_AT_ONCE, 1 + len(idle) // 8)
        for connection in heapq.nsmallest(few, idle, key=lambda each: each.heard_in):
            connection.close("it was idle, and a newcomer needs its file descriptor")
        return bool(idle)
