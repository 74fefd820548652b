"""Takes in connections, within the limit of file descriptors. Floor 3.

Rule: a newcomer is served or closed, never left waiting. When there are as many connections as there may be, those that
take no part in any job are closed for it, the longest silent first.
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
"""Not for connections: listeners, the store, the event loop, what a program around the server opens."""

_ACCEPTED_AT_ONCE = 64
_CLOSED_AT_ONCE = 64
_PAUSE_S = 0.5
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Guest(Protocol):
    """A connection, as far as this module is concerned."""

    heard_in: int
    """When something came last; the smaller, the longer ago."""

    @property
    def idle(self) -> bool:
        """Whether nobody misses it."""

    def close(self, reason: str) -> None:
        """End it."""


class Acceptor:
    """The listening sockets of one server.

    Args:
        loop: gevent's loop.
        connections: those that there are now.
        serve: takes a new socket and its peer's address.
        report: logs ``(level, event, message)``.
        max_connections: how many there may be; 0: what the limit of file descriptors allows.
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
        """Accept from these listening, non-blocking sockets, which are its own from now on."""
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
                # The kernel keeps them waiting; asking again at once would spin.
                self._report(logging.ERROR, "server.full", f"cannot accept connections: {error.strerror}")
                watcher.stop()
                gevent.spawn_later(_PAUSE_S, self._accept_again, listener, watcher)
                return
            if len(self._connections()) >= self._room:
                # Looking for idle ones walks over all: once is enough, when there are none.
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
        # Several at once, because finding them walks over all.
        few = min(_CLOSED_AT_ONCE, 1 + len(idle) // 8)
        for connection in heapq.nsmallest(few, idle, key=lambda each: each.heard_in):
            connection.close("it was idle, and a newcomer needs its file descriptor")
        return bool(idle)
