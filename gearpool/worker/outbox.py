"""What a session has to say and has not sent yet. Floor 3.

Law: `flush` never waits. What the kernel does not take becomes the backlog, goes out when the server reads again, and
until then nothing else does: the order of packets is the order of `parts`.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent.event import Event

from gearpool.net.greenlet_streams import GreenletStream

MAX_BACKLOG = 8 * 1024 * 1024
"""Bytes unsent beyond which `job.data` waits."""


class Outbox:
    """The way out of one connection.

    Args:
        stream: where to.
        emptied: called in the hub when a backlog has gone out.
        broken: called with the reason when the connection breaks.

    Attributes:
        parts: bytes to be sent, in order; append to it and see that somebody calls `flush`.
        blocked: the server does not read what was sent before.
        closed: the connection is gone; what is to be said goes nowhere.
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
        """Send what fits now."""
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
            self._stream.when_writable(self._go_on)

    def wait_for_room(self) -> None:
        """Wait while too much is unsent; returns at once when the connection is gone."""
        while len(self._backlog) > MAX_BACKLOG and not self.closed:
            self._room.clear()
            self._room.wait()

    def close(self) -> None:
        """Send nothing more; whoever waits for room goes on."""
        self.closed = True
        self.blocked = False
        self.parts.clear()
        self._backlog = memoryview(b"")
        self._room.set()

    def _go_on(self) -> None:
        """In the hub: the server reads again."""
        if self.closed:
            return
        try:
            sent = self._send(self._backlog)
        except OSError as error:
            self._broken(str(error))
            return
        self._backlog = self._backlog[sent:]
        if self._backlog:
            self._stream.when_writable(self._go_on)
        else:
            self.blocked = False
            self._emptied()
        if len(self._backlog) <= MAX_BACKLOG:
            self._room.set()
