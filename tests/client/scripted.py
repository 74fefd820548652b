"""A job server that does what a test's script says, byte by byte: the faults no real server shows on demand."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gearpool.protocol.codec import Decoder, Packet, response
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType

ECHO = PacketType.ECHO_REQ
OPTION = PacketType.OPTION_REQ


class Peer:
    """One connection, the server's side. ECHO and OPTION_REQ are answered on the way."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = Decoder(REQUEST_MAGIC)
        self._waiting: list[Packet] = []

    def next(self) -> Packet | None:
        """The next request that is neither ECHO nor OPTION_REQ; None at the end."""
        while True:
            while self._waiting:
                kind, arguments = self._waiting.pop(0)
                if kind is ECHO:
                    self.send(PacketType.ECHO_RES, *arguments)
                elif kind is OPTION:
                    self.send(PacketType.OPTION_RES, *arguments)
                else:
                    return kind, arguments
            data = self.sock.recv(65536)
            if not data:
                return None
            self._waiting.extend(self._decoder.feed(data))

    def send(self, kind: PacketType, *arguments: bytes) -> None:
        """One packet."""
        self.sock.sendall(response(kind, *arguments))

    def raw(self, data: bytes) -> None:
        """Any bytes."""
        self.sock.sendall(data)


Script = Callable[[Peer], None]


class ScriptedServer:
    """Each connection runs the script; the connection ends with it. ``greets`` False leaves even ECHO to the script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.connections = 0
        self.problems: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        assert not self.problems

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            self._script(Peer(sock))
        except OSError:
            pass  # the client went away
        except BaseException as error:
            self.problems.append(error)
        finally:
            self._open.discard(sock)
            sock.close()
