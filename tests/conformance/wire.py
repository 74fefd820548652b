"""A minimal Gearman connection for tests: it sends and receives single packets and interprets none of them."""

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
Packet = tuple[Any, ...]
"""A packet: its type and its arguments."""


class Wire:
    """One connection to a job server. Every read has a timeout, so a server that does not answer fails the test."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder(RESPONSE_MAGIC)
        self._received: list[Packet] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def reset(self) -> None:
        """Reset the connection (TCP RST)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._socket.close()

    def half_close(self) -> None:
        """Close the sending side only; replies can still be received."""
        self._socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self._socket.sendall(data)

    def send_packet(self, kind: PacketType, *arguments: bytes) -> None:
        """Send one packet."""
        self._socket.sendall(request(kind, *arguments))

    def receive(self) -> Packet:
        """Return the next packet."""
        while not self._received:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError("the server closed the connection")
            self._received = [(kind, *arguments) for kind, arguments in self._decoder.feed(data)]
        return self._received.pop(0)

    def ask(self, kind: PacketType, *arguments: bytes) -> Packet:
        """Send one packet and return the next one that arrives."""
        self.send_packet(kind, *arguments)
        return self.receive()

    def sync(self) -> list[Packet]:
        """Send ECHO_REQ and return every packet that arrives before its reply: the server has handled all we sent."""
        self.send_packet(T.ECHO_REQ, b"sync")
        before = []
        while (reply := self.receive()) != (T.ECHO_RES, b"sync"):
            before.append(reply)
        return before

    def closed(self) -> bool:
        """Wait until the server closes the connection; False if it does not within the timeout."""
        with contextlib.suppress(ConnectionResetError):
            try:
                while self._socket.recv(65536):
                    pass
            except TimeoutError:
                return False
        return True

    def submit(self, function: bytes, unique: bytes = b"", data: bytes = b"", kind: PacketType = T.SUBMIT_JOB) -> bytes:
        """Submit a job and return its handle."""
        reply = self.ask(kind, function, unique, data)
        assert reply[0] is T.JOB_CREATED, reply
        handle: bytes = reply[1]
        return handle

    def register(self, *functions: bytes) -> Wire:
        """Register functions and wait until the server has processed that."""
        for function in functions:
            self.send_packet(T.CAN_DO, function)
        assert self.sync() == []
        return self

    def grab(self) -> Packet:
        """Send GRAB_JOB_UNIQ and return the reply."""
        return self.ask(T.GRAB_JOB_UNIQ)

    def status(self, handle: bytes) -> tuple[bytes, ...]:
        """Return a job's status: known, running, numerator, denominator."""
        kind, name, *numbers = self.ask(T.GET_STATUS, handle)
        assert (kind, name) == (T.STATUS_RES, handle)
        return tuple(numbers)


def ask_text(port: int, command: Command, *arguments: bytes) -> bytes:
    """Send one text command on a new connection and return the complete reply."""
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
    """Send any line of text and return the first line of the reply; empty if the server closed the connection."""
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
    """Return the first true value of ``condition()``; fail if there is none within the timeout."""
    end = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < end, f"timed out waiting for {what}"
        time.sleep(0.01)
    return value
