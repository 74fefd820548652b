"""A raw peer over a socket: packets out, packets in, nothing clever in between."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, Self

from gearpool.protocol import admin
from gearpool.protocol.admin import Command
from gearpool.protocol.codec import Decoder, request
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType

T = PacketType
LIMIT_S = 10.0
Said = tuple[Any, ...]
"""A packet: its type and its arguments."""


class Wire:
    """One connection to a job server. Every read has a limit; a server that stays silent fails the test."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder(RESPONSE_MAGIC)
        self._heard: list[Said] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def reset(self) -> None:
        """End the connection with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def half_close(self) -> None:
        """Say that nothing more comes, and stay to listen."""
        self._socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self._socket.sendall(data)

    def say(self, kind: PacketType, *arguments: bytes) -> None:
        """Send one packet."""
        self._socket.sendall(request(kind, *arguments))

    def hear(self) -> Said:
        """The next packet."""
        while not self._heard:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError("the server closed the connection")
            self._heard = [(kind, *arguments) for kind, arguments in self._decoder.feed(data)]
        return self._heard.pop(0)

    def ask(self, kind: PacketType, *arguments: bytes) -> Said:
        """Send one packet and take the next one that comes."""
        self.say(kind, *arguments)
        return self.hear()

    def settle(self) -> list[Said]:
        """What else has come: everything before the reply to an ECHO sent now."""
        self.say(T.ECHO_REQ, b"settled")
        before = []
        while (said := self.hear()) != (T.ECHO_RES, b"settled"):
            before.append(said)
        return before

    def closed(self) -> bool:
        """Wait for the end of the connection; True when it came."""
        with contextlib.suppress(ConnectionResetError):
            try:
                while self._socket.recv(65536):
                    pass
            except TimeoutError:
                return False
        return True

    def submit(self, function: bytes, unique: bytes = b"", data: bytes = b"", kind: PacketType = T.SUBMIT_JOB) -> bytes:
        """Submit a job; its handle."""
        said = self.ask(kind, function, unique, data)
        assert said[0] is T.JOB_CREATED, said
        handle: bytes = said[1]
        return handle

    def can(self, *functions: bytes) -> Wire:
        """Register functions, and be sure that the server knows."""
        for function in functions:
            self.say(T.CAN_DO, function)
        assert self.settle() == []
        return self

    def grab(self) -> Said:
        """The reply to GRAB_JOB_UNIQ."""
        return self.ask(T.GRAB_JOB_UNIQ)

    def status(self, handle: bytes) -> tuple[bytes, ...]:
        """Known, running, numerator, denominator."""
        kind, name, *numbers = self.ask(T.GET_STATUS, handle)
        assert (kind, name) == (T.STATUS_RES, handle)
        return tuple(numbers)


def ask_text(port: int, command: Command, *arguments: bytes) -> bytes:
    """The whole reply to one text command on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as sock:
        sock.sendall(admin.request(command, *arguments))
        received = b""
        while not (size := admin.reply_size(command, received)):
            data = sock.recv(65536)
            if not data:
                raise EOFError(f"closed after {received!r}")
            received += data
        assert len(received) == size
        return received


def ask_line(port: int, line: bytes) -> bytes:
    """The first line of the reply to any text; empty when the server closed instead."""
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as sock:
        sock.sendall(line + b"\r\n")
        received = b""
        while not received.endswith(b"\n"):
            data = sock.recv(1)
            if not data:
                break
            received += data
        return received


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition()`` within the limit."""
    end = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
    return value
