"""The send buffer of a session. Floor 3.

Invariant: `flush` never blocks, and packets are sent in the order of `parts`. Data that the kernel does not accept becomes
the backlog, and nothing else is sent before it.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent.event import Event

from gearpool.net.greenlet_streams import GreenletStream

MAX_BACKLOG = 8 * 1024 * 1024
"""Unsent bytes beyond which `job.data` blocks."""


class Outbox:
    """The send buffer of one connection.

    Args:
        emptied: called in the hub when a backlog has been sent.
        broken: called with the reason when the connection breaks.

    Attributes:
        parts: bytes to be sent, in order. After appending, `flush` must be called.
        blocked: there is a backlog.
        closed: the connection is closed; nothing is sent any more.
    """

    def __init__(self, stream: GreenletStream, emptied: Callable[[], None], broken: Callable[[str], None]) -> None:
        self.parts: list[bytes] = []
        self.blocked = False
        self._stream = stream
        self._send = stream.send
        self._emptied = emptied
        self._broken = broken
        self._backlog = memoryview(b"")
        self._room = Event()
        self.closed = False

    def flush(self) -> None:
        """Send as much as the kernel accepts now."""
        if self.blocked or self.closed:
            return
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        try:
            sent = self._send(data)
        except OSError as error:
            self._broken(str(error))
            return
        if sent < len(data):
            self.blocked = True
            self._backlog = memoryview(data)[sent:]
            self._stream.when_writable(self._send_backlog)

    def wait_for_room(self) -> None:
        """Block while the backlog exceeds MAX_BACKLOG; returns at once when the connection is closed."""
        while len(self._backlog) > MAX_BACKLOG and not self.closed:
            self._room.clear()
            self._room.wait()

    def close(self) -> None:
        """Discard what is unsent, and release those in `wait_for_room`."""
        self.closed = True
        self.blocked = False
        self.parts.clear()
        self._backlog = memoryview(b"")
        self._room.set()

    def _send_backlog(self) -> None:
        """Called in the hub when the socket is writable."""
        if self.closed:
            return
        try:
            sent = self._send(self._backlog)
        except OSError as error:
            self._broken(str(error))
            return
        self._backlog = self._backlog[sent:]
        if self._backlog:
            self._stream.when_writable(self._send_backlog)
        else:
            self.blocked = False
            self._emptied()
        if len(self._backlog) <= MAX_BACKLOG:
            self._room.set()
