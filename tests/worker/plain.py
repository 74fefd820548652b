"""Single pieces of a worker, built from plain values, for tests without a server or a pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from gearpool.jobs import Job
from gearpool.protocol.codec import Decoder, Packet
from gearpool.protocol.packets import REQUEST_MAGIC
from gearpool.worker.functions import Function
from gearpool.worker.outbox import Outbox
from gearpool.worker.replies import Replies
from tests.worker.serving import function


class Wire:
    """A connection that accepts and records everything."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, data: bytes | memoryview) -> int:
        self.sent += bytes(data)
        return len(data)

    def packets(self) -> list[Packet]:
        """The packets sent so far."""
        return list(Decoder(REQUEST_MAGIC).feed(self.sent))


class Owed:
    """The replies of one session over a `Wire`, and a record of their callbacks."""

    def __init__(self, served: Function | None = None) -> None:
        self.function = served or function("work", lambda arg: arg)
        self.wire = Wire()
        stream: Any = self.wire
        self.outbox = Outbox(stream, lambda: None, lambda reason: None)
        self.flushes = self.hand_backs = 0
        self.ran: list[Job] = []
        self.abandoned: set[Job] = set()
        self.reported: list[Job] = []
        self.replies = Replies(
            self.function, "server:4730", 0, self.outbox,
            soon=self._soon, hand_back=self._hand_back, run_again=self.ran.append,
            is_abandoned=self.abandoned.__contains__, on_reported=lambda notes, job: self.reported.append(job),
        )  # fmt: skip

    def job(self, handle: bytes = b"H:1", unique: bytes = b"") -> Job:
        """A job of this session."""
        return Job(self.replies, self.function.name, handle, unique, b"payload", None)

    def sent(self) -> list[Packet]:
        """Flush the outbox; the packets sent so far."""
        self.outbox.flush()
        return self.wire.packets()

    def _soon(self) -> None:
        self.flushes += 1

    def _hand_back(self) -> None:
        self.hand_backs += 1


def at_once(work: Callable[[], None]) -> None:
    """Run ``work`` without a greenlet pool."""
    work()


def until(condition: Callable[[], object]) -> None:
    """Run the event loop until ``condition()`` is true."""
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.001)
