"""A child's end of the channel to the supervisor; it uses gevent. Floor 4."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import gevent.socket
from gevent.lock import BoundedSemaphore

from gearpool import json_lines, logs, messages
from gearpool.messages import COMMANDS, Command, Event, MessageError

log = logging.getLogger("gearpool.children")


class Channel:
    """Sends events and yields commands.

    Args:
        stream: the connected socket; the channel takes it over.
        decoder: has decoded the input so far, if anything was read already.
        early: objects that were read already.
    """

    def __init__(
        self, stream: socket.socket, decoder: json_lines.Decoder | None = None, early: Iterable[Any] = ()
    ) -> None:
        # gevent's own socket, whether or not the process is patched.
        self._socket = gevent.socket.socket(stream.family, stream.type, stream.proto, fileno=stream.detach())
        self._decoder = decoder or json_lines.Decoder()
        self._early = list(early)
        # Several greenlets send; the lock keeps their lines whole while the supervisor does not read.
        self._sending = BoundedSemaphore()

    @property
    def descriptor(self) -> int:
        """The socket's file descriptor."""
        return int(self._socket.fileno())

    def send(self, event: Event) -> bool:
        """Send an event; False if the supervisor is gone, which also ends `commands`."""
        line = json_lines.encode(messages.as_dict(event))
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError:
            return False
        return True

    def commands(self) -> Iterator[Command]:
        """Yield the supervisor's commands until it is gone; anything else that arrives is logged."""
        values: Iterable[dict[str, Any] | bytes] = self._early
        while True:
            for value in values:
                command = self._command(value)
                if command is not None:
                    yield command
            try:
                data = self._socket.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            values = self._decoder.feed(data)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @staticmethod
    def _command(value: dict[str, Any] | bytes) -> Command | None:
        try:
            if isinstance(value, dict):
                return messages.from_dict(COMMANDS, value)
            logs.emit(log, logging.ERROR, "command.failed", "not a JSON object", command=value[:200])
        except MessageError as error:
            logs.emit(log, logging.ERROR, "command.failed", str(error))
        return None
