"""A worker with nothing in it but the protocol: one thread, one connection, one job at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gearpool.net.addresses import parse_server
from gearpool.net.dialing import close, connect, standard
from gearpool.protocol.codec import Decoder, Packet, request
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.timing import Deadline


class FailError(Exception):
    """WORK_FAIL."""


class ExplodeError(Exception):
    """WORK_EXCEPTION with this payload."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self.payload = payload


class VanishError(Exception):
    """The worker's connection breaks in the middle of the job."""


@dataclass
class Assigned:
    """A job as the worker got it; ``send`` sends a packet about it."""

    handle: bytes
    function: bytes
    unique: bytes
    reducer: bytes
    data: bytes
    send: Callable[..., None]

    def status(self, numerator: int, denominator: int) -> None:
        """WORK_STATUS."""
        self.send(PacketType.WORK_STATUS, self.handle, b"%d" % numerator, b"%d" % denominator)

    def part(self, data: bytes) -> None:
        """WORK_DATA."""
        self.send(PacketType.WORK_DATA, self.handle, data)

    def warn(self, data: bytes) -> None:
        """WORK_WARNING."""
        self.send(PacketType.WORK_WARNING, self.handle, data)


Handler = Callable[[Assigned], bytes]


class ThreadWorker:
    """Serves ``functions`` until `stop`; registered when the constructor returns."""

    def __init__(self, address: str, functions: Mapping[str, Handler]) -> None:
        self._functions = {name.encode(): handler for name, handler in functions.items()}
        self._address = address
        self.jobs: list[Assigned] = []
        self._sock = self._connect()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _connect(self) -> socket.socket:
        sock = connect(parse_server(self._address), Deadline.after(10), modules=standard())
        sock.sendall(b"".join(request(PacketType.CAN_DO, name) for name in self._functions))
        # Answered in order: then it is registered.
        sock.sendall(request(PacketType.ECHO_REQ, b"registered"))
        decoder = Decoder(RESPONSE_MAGIC)
        while not decoder.feed(sock.recv(4096)):
            pass
        return sock

    def stop(self) -> None:
        """End the connection and the thread."""
        close(self._sock)
        self._thread.join(10)

    def _run(self) -> None:
        sock = self._sock
        decoder = Decoder(RESPONSE_MAGIC)

        def send(kind: PacketType, *arguments: bytes) -> None:
            sock.sendall(request(kind, *arguments))

        with contextlib.suppress(OSError, VanishError):
            send(PacketType.GRAB_JOB_ALL)
            while data := sock.recv(1 << 20):
                for packet in decoder.feed(data):
                    self._serve(packet, send)
        close(sock)

    def _serve(self, packet: Packet, send: Callable[..., None]) -> None:
        kind, arguments = packet
        if kind is PacketType.NO_JOB:
            send(PacketType.PRE_SLEEP)
        elif kind is PacketType.NOOP:
            send(PacketType.GRAB_JOB_ALL)
        elif kind in (PacketType.JOB_ASSIGN_UNIQ, PacketType.JOB_ASSIGN_ALL):
            reducer = arguments[3] if kind is PacketType.JOB_ASSIGN_ALL else b""
            job = Assigned(arguments[0], arguments[1], arguments[2], reducer, arguments[-1], send)
            self.jobs.append(job)
            try:
                result = self._functions[job.function](job)
            except FailError:
                send(PacketType.WORK_FAIL, job.handle)
            except ExplodeError as error:
                send(PacketType.WORK_EXCEPTION, job.handle, error.payload)
            else:
                send(PacketType.WORK_COMPLETE, job.handle, result)
            send(PacketType.GRAB_JOB_ALL)
