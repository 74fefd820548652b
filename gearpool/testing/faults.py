"""Scripted faults of a job server in a test. Floor 5.

Faults are made with real bytes on real sockets, between the server and its peers: the server knows nothing of them, and a
peer sees what a network, a crash or a broken server would show it. Without a fault every byte passes unchanged. A fault
holds for all connections, of clients and workers, present and future, until `Faults.clear`.
"""

from __future__ import annotations

import contextlib
import socket as standard_socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gevent.hub import get_hub

from gearpool.errors import InvalidArgument
from gearpool.protocol.packets import HEADER_SIZE, PacketType
from gearpool.server.shell import JobServer
from gearpool.server.streams import Stream

Direction = Literal["sent", "received"]

_PUSH_S = 0.005
"""Delay before bytes that did not fit into a socket are tried again."""
_NOISE = b"This is not Gearman. "


@dataclass
class _State:
    """The active faults. Used in the server's thread only."""

    delay_s: float = 0.0
    silent: bool = False
    garble: int = 0
    most: int | None = None


class Faults:
    """The faults of one `ThreadedJobServer`: ``server.faults``.

    Args:
        call: runs a function with the server in the server's thread and waits for it.

    Attributes:
        lost: the packets that `lose_next` has swallowed so far, by name, in order.
    """

    def __init__(self, call: Callable[[Callable[[JobServer], None]], None]) -> None:
        self._call = call
        self.state: _State = _State()
        self.losing: list[tuple[PacketType, Direction]] = []
        self.lost: list[str] = []
        self._streams: set[FaultyStream] = set()

    def refuse(self) -> None:
        """Refuse new connections; existing ones stay."""
        self._call(lambda server: server.quiet())

    def drop(self) -> None:
        """End every connection now; new ones are served."""
        self._call(lambda server: server.drop_connections())

    def drop_after(self, packets: int) -> None:
        """End each connection when the server has sent this many more packets on it.

        The first of a new connection is the answer to the greeting of gearpool's clients and workers (ECHO_RES).
        """
        self._set(most=packets)

    def silence(self) -> None:
        """Accept connections and bytes, and answer nothing: a black hole.

        What is sent to the server meanwhile is lost. Connections that were open then end with `clear`.
        """
        self._set(silent=True)

    def delay(self, seconds: float) -> None:
        """Delay everything the server sends by this much."""
        self._set(delay_s=seconds)

    def garble(self, packets: int = 1) -> None:
        """Replace this many of the next packets of the server by noise of the same length."""
        self._set(garble=packets)

    def lose_next(self, packet: str, *, direction: Direction = "sent", count: int = 1) -> None:
        """Lose the next packet of this type.

        Args:
            packet: its name, as ``"JOB_CREATED"``.
            direction: by whom, from the server's point of view; a WORK_COMPLETE is ``"received"`` from the worker, and
                then ``"sent"`` to the client.
            count: how many of them.

        Raises:
            InvalidArgument: there is no such packet.
        """
        try:
            kind = PacketType[packet]
        except KeyError:
            raise InvalidArgument(f"{packet!r} is not the name of a packet") from None
        self._call(lambda _: self.losing.extend([(kind, direction)] * count))

    def clear(self) -> None:
        """End all faults."""

        def clear(server: JobServer) -> None:
            silent, self.state = self.state.silent, _State()
            self.losing.clear()
            for stream in self._streams.copy():
                stream.renew(broken=silent)
            server.start()

        self._call(clear)

    def wrap(self, stream: Stream, sock: Any) -> Stream:
        """See `JobServer.wrap`."""
        faulty = FaultyStream(self, stream, sock)
        self._streams.add(faulty)
        return faulty

    def gone(self, stream: FaultyStream) -> None:
        """A connection has ended."""
        self._streams.discard(stream)

    def loses(self, kind: int, direction: Direction) -> bool:
        """Whether this packet is to be lost."""
        for each in self.losing:
            if each == (kind, direction):
                self.losing.remove(each)
                self.lost.append(each[0].name)
                return True
        return False

    def _set(self, **values: Any) -> None:
        def change(_: JobServer) -> None:
            for name, value in values.items():
                setattr(self.state, name, value)
            for stream in self._streams.copy():
                stream.renew()

        self._call(change)


class _Cutter:
    """Cuts one direction of a connection into packets; lines of the text protocol count as packets too."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._gone = 0  # how many of the held bytes have passed already
        self._passing = 0  # how many bytes are still to pass of a packet that has begun to

    @property
    def holding(self) -> bool:
        """It has bytes that have not passed."""
        return len(self._held) > self._gone

    def follow(self, data: bytes | memoryview) -> None:
        """``data`` has passed whole; only see where in a packet it ended."""
        if not self._held and not self._passing and len(data) >= HEADER_SIZE and HEADER_SIZE + _body(data) == len(data):
            return  # just one packet, as is most often the case
        deque(self.cut(bytes(data)), maxlen=0)
        size = self._size() if self._held else None
        if size is None:
            self._gone = len(self._held)
        else:
            self._passing = size - len(self._held)
            self._held.clear()
            self._gone = 0

    def cut(self, data: bytes) -> Iterator[tuple[int | None, bytes]]:
        """Type and bytes of each packet that ``data`` completes; type None for text, and for what is left of a packet
        whose beginning has passed.
        """
        if self._passing:
            piece, data = data[: self._passing], data[self._passing :]
            self._passing -= len(piece)
            yield None, piece
        self._held += data
        while self._held:
            size = self._size()
            if size is None or len(self._held) < size:
                return
            packet = bytes(self._held[:size])
            del self._held[:size]
            gone, self._gone = self._gone, 0
            yield (None if gone or packet[0] else int.from_bytes(packet[4:8], "big")), packet[gone:]

    def _size(self) -> int | None:
        """Of the packet that is being held; None if not even that is known."""
        held = self._held
        if held[0] != 0:
            end = held.find(b"\n")
            return None if end < 0 else end + 1
        return None if len(held) < HEADER_SIZE else HEADER_SIZE + _body(held)


def _body(packet: bytes | bytearray | memoryview) -> int:
    return int.from_bytes(packet[8:12], "big")


class FaultyStream:
    """A connection's stream with the faults in between. See `gearpool.server.streams.Stream`."""

    def __init__(self, faults: Faults, stream: Stream, sock: Any) -> None:
        self._faults = faults
        self._stream = stream
        self._socket = sock
        self._incoming, self._outgoing = _Cutter(), _Cutter()
        self._left: deque[tuple[float, bytes]] = deque()
        self._timer: Any = None
        self._sent = 0
        self._ending = False
        self._deaf = False

    @property
    def established(self) -> bool:
        """See `Stream`."""
        return self._stream.established

    @property
    def unsent(self) -> bool:
        """See `Stream`. What is held back here is sent by a timer."""
        return self._stream.unsent

    def renew(self, *, broken: bool = False) -> None:
        """The faults have changed. ``broken``: bytes were lost, so what follows cannot be decoded."""
        self._sent = 0
        if broken:
            self._shut()

    def receive(self, most: int) -> bytes | None:
        """See `Stream`."""
        if self._faults.state.silent or self._deaf:
            self._deaf = True
            with contextlib.suppress(BlockingIOError, InterruptedError):
                return None if self._socket.recv(most) else b""
            return None
        data = self._stream.receive(most)
        if not data:
            return data
        if not self._faults.losing and not self._incoming.holding:
            self._incoming.follow(data)
            return data
        kept = [
            packet
            for kind, packet in self._incoming.cut(data)
            if kind is None or not self._faults.loses(kind, "received")
        ]
        return b"".join(kept) or None

    def send(self, data: bytes | memoryview) -> int:
        """See `Stream`."""
        state = self._faults.state
        if state.silent or self._deaf:
            return len(data)
        if not (self._left or self._ending or self._faults.losing or self._outgoing.holding) and state == _State():
            sent = self._stream.send(data)
            self._outgoing.follow(memoryview(data)[:sent])
            return sent
        for kind, packet in self._outgoing.cut(bytes(data)):
            self._pass(kind, packet)
        self._push()
        return len(data)

    def _pass(self, kind: int | None, packet: bytes) -> None:
        state = self._faults.state
        if self._ending:
            return
        if kind is not None:
            if self._faults.loses(kind, "sent"):
                return
            if state.garble:
                state.garble -= 1
                packet = (_NOISE * (len(packet) // len(_NOISE) + 1))[: len(packet)]
        self._left.append((time.monotonic() + state.delay_s, packet))
        self._sent += 1
        if state.most is not None and self._sent >= state.most:
            self._ending = True

    def flush(self) -> None:
        """See `Stream`."""
        self._stream.flush()

    def _push(self) -> None:
        """Send what is due, as far as it fits, and see to the rest."""
        left = self._left
        try:
            while left and left[0][0] <= time.monotonic():
                due, packet = left[0]
                sent = self._stream.send(packet)
                if sent < len(packet):
                    left[0] = (due, packet[sent:])
                    break
                left.popleft()
            self._stream.flush()
        except OSError:
            left.clear()
            self._shut()
            return
        if left:
            self._wake_in(max(_PUSH_S, left[0][0] - time.monotonic()))
        elif self._stream.unsent:
            self._wake_in(_PUSH_S)
        elif self._ending:
            self._shut()

    def _wake_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = get_hub().loop.timer(seconds)
            self._timer.start(self._wake)

    def _wake(self) -> None:
        self._stop()
        self._push()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _shut(self) -> None:
        """The connection's own watcher sees the end and closes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(standard_socket.SHUT_RDWR)

    def close(self) -> None:
        """See `Stream`."""
        self._stop()
        self._left.clear()
        self._faults.gone(self)
        self._stream.close()
