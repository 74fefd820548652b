"""One end of a socket of the supervisor, to a child or an operator: JSON lines both ways, without blocking. Floor 4.

What the other side does not read now waits in memory. If more than MAX_UNSENT bytes wait, further messages are dropped: a
child that has not read for that long is about to be killed.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any

from gearpool import json_lines, logs
from gearpool.supervisor.loop import READ, WRITE, Loop

MAX_UNSENT = 16 * 1024 * 1024

log = logging.getLogger("gearpool.supervisor")

Object = dict[str, Any]
"""A JSON object."""


class Channel:
    """Lines of JSON over a connected stream socket, which it owns.

    Args:
        loop: serves the socket.
        stream: the socket.
        on_message: called with each object.
        on_end: called once when the other side has closed, or sent a line that is too long.
    """

    def __init__(
        self, loop: Loop, stream: socket.socket, on_message: Callable[[Object], object], on_end: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._on_message = on_message
        self._on_end = on_end
        self._decoder = json_lines.Decoder()
        self._outgoing = bytearray()
        self._open = True
        stream.setblocking(False)
        loop.watch(stream.fileno(), READ, self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._outgoing

    def send(self, message: Object) -> None:
        """Send one object, now or as soon as there is room; does nothing after the end."""
        if not self._open:
            return
        line = json_lines.encode(message)
        if len(self._outgoing) + len(line) > MAX_UNSENT:
            logs.emit(log, logging.WARNING, "channel.full", "the other side does not read; dropped a message")
            return
        self._outgoing += line
        self._write()

    def finish(self) -> None:
        """Read what the other side sent before it closed."""
        while self._open and self._read():
            pass

    def close(self) -> None:
        """Close without calling ``on_end``; idempotent."""
        if self._open:
            self._open = False
            self._loop.forget(self._stream.fileno())
            self._stream.close()

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._write()
        if mask & READ and self._open:
            self._read()

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            try:
                while self._outgoing:
                    sent = self._stream.send(self._outgoing)
                    del self._outgoing[:sent]
            except BlockingIOError:
                raise
            except OSError:
                # The connection is broken: what the peer sent before can still be read, then comes the end.
                self._outgoing.clear()
        self._loop.watch(self._stream.fileno(), READ | WRITE if self._outgoing else READ, self._ready)

    def _read(self) -> bool:
        """Read and serve what has arrived. False if nothing had."""
        try:
            data = self._stream.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        try:
            for message in self._decoder.feed(data):
                if isinstance(message, dict):
                    self._on_message(message)
                else:
                    logs.emit(log, logging.WARNING, "channel.garbage", "not a JSON object", line=message[:200])
                if not self._open:
                    return False
        except json_lines.LineTooLongError:
            self._end()
        return True

    def _end(self) -> None:
        self.close()
        self._on_end()
