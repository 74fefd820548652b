"""A core with connections that speak packets, for tests without sockets."""

from __future__ import annotations

from typing import Any

from gearpool.protocol.codec import Decoder, request
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.server.core import Core
from tests.server.law import check

T = PacketType
Said = tuple[Any, ...]
"""A packet: its type and its arguments."""


class Talker:
    """One connection: `say` requests, and `heard` gives the replies since it was last asked."""

    def __init__(self, core: Core, fd: int = 7) -> None:
        self.core = core
        self.peer = core.connect("127.0.0.1", fd)
        self._decoder = Decoder(RESPONSE_MAGIC)
        self.closed_because: str | None = None

    def say(self, kind: PacketType, *arguments: bytes) -> list[Said]:
        """Send one packet; what this connection heard since it was last asked."""
        return self.send(request(kind, *arguments))

    def send(self, data: bytes) -> list[Said]:
        """Send raw bytes; likewise."""
        self._receive(data)
        return self.heard()

    def heard(self) -> list[Said]:
        """The replies since it was last asked."""
        return [(kind, *arguments) for kind, arguments in self._decoder.feed(self.raw())]

    def raw(self) -> bytes:
        """The same as bytes."""
        data = b"".join(self.peer.out)
        self.peer.out.clear()
        if self.peer in self.core.dirty:
            self.core.dirty.remove(self.peer)
        return data

    def ask(self, line: str) -> str:
        """A text command's reply."""
        self._receive(line.encode() + b"\r\n")
        return self.raw().decode()

    def _receive(self, data: bytes) -> None:
        self.closed_because = self.core.receive(self.peer, data)
        check(self.core.ledger)
        while self.peer.behind:
            self.closed_because = self.core.advance(self.peer)
            check(self.core.ledger)

    def submit(
        self, function: bytes = b"f", unique: bytes = b"", data: bytes = b"", kind: PacketType = T.SUBMIT_JOB
    ) -> bytes:
        """Submit a job; its handle."""
        replies = self.say(kind, function, unique, data)
        assert replies[0][0] is T.JOB_CREATED, replies
        handle: bytes = replies[0][1]
        return handle

    def grab(self) -> Said:
        """The one reply to GRAB_JOB_UNIQ."""
        (reply,) = self.say(T.GRAB_JOB_UNIQ)
        return reply

    def leave(self) -> None:
        """The connection ends."""
        self.core.disconnect(self.peer)
        check(self.core.ledger)


def worker(core: Core, *functions: bytes) -> Talker:
    """A connection that can do ``functions``."""
    talker = Talker(core)
    for function in functions or (b"f",):
        assert talker.say(T.CAN_DO, function) == []
    return talker
