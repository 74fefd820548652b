"""One end of the socketpair between the supervisor and a child: a JSON object a line, both ways. Floor 4.

Law: nothing here blocks. What the other side does not read now waits in memory; a child that reads nothing for so long
that more than MOST bytes wait has its further commands dropped, for it is about to be killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import Callable
from typing import Any

from gearpool import logs
from gearpool.supervisor.loop import READ, WRITE, Loop

MOST = 16 * 1024 * 1024
"""Bytes that may wait in either direction."""

log = logging.getLogger("gearpool.supervisor")
Message = dict[str, Any]


class Channel:
    """Lines of JSON over a connected stream socket, which it owns.

    Args:
        loop: where it is served.
        stream: the socket.
        on_message: called with each object.
        on_end: called once when the other side has closed or broken the rules.
    """

    def __init__(
        self, loop: Loop, stream: socket.socket, on_message: Callable[[Message], object], on_end: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._on_message = on_message
        self._on_end = on_end
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._open = True
        stream.setblocking(False)
        loop.watch(stream.fileno(), READ, self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._outgoing

    def send(self, message: Message) -> None:
        """Send one object, now or as soon as there is room. After the end nothing happens."""
        if not self._open:
            return
        line = json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"
        if len(self._outgoing) + len(line) > MOST:
            logs.emit(log, logging.WARNING, "channel.full", "the other side does not read; dropped a message")
            return
        self._outgoing += line
        self._write()

    def finish(self) -> None:
        """Serve what is still to be read now that the other side has gone."""
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
                # Broken: what it had sent before may still be read, then comes the end.
                self._outgoing.clear()
        self._loop.watch(self._stream.fileno(), READ | WRITE if self._outgoing else READ, self._ready)

    def _read(self) -> bool:
        """Serve what has come; whether anything had."""
        try:
            data = self._stream.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
            return False
        self._incoming += data
        *lines, rest = self._incoming.split(b"\n")
        self._incoming = bytearray(rest)
        for line in lines:
            self._serve(line)
            if not self._open:
                return False
        if len(self._incoming) > MOST:
            self._end()
        return True

    def _serve(self, line: bytes | bytearray) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict):
            self._on_message(message)
        else:
            logs.emit(log, logging.WARNING, "channel.garbage", "not a JSON object", line=bytes(line[:200]))

    def _end(self) -> None:
        self.close()
        self._on_end()
