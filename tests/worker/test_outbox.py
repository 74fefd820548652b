"""The outbox, with a stream that accepts as much as the test allows."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from gearpool.net.greenlet_streams import Bytes
from gearpool.worker.outbox import MAX_BACKLOG, Outbox


class Narrow:
    """A stream that accepts ``room`` bytes, and more after `open`."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent = bytearray()
        self.waiting: Callable[[], None] | None = None
        self.error: OSError | None = None

    def send(self, data: Bytes) -> int:
        if self.error is not None:
            raise self.error
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def when_writable(self, call: Callable[[], None]) -> None:
        assert self.waiting is None
        self.waiting = call

    def open(self, room: int) -> None:
        """The server reads ``room`` bytes."""
        self.room += room
        waiting, self.waiting = self.waiting, None
        assert waiting is not None
        waiting()

    def receive(self, max_bytes: int) -> bytes:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Sender:
    """An outbox, and a record of its callbacks."""

    def __init__(self, room: int) -> None:
        self.stream = Narrow(room)
        self.calls: list[str] = []
        self.outbox = Outbox(self.stream, lambda: self.calls.append("emptied"), self.calls.append)

    def send(self, *parts: bytes) -> None:
        self.outbox.parts += parts
        self.outbox.flush()


def test_parts_are_sent_in_order_and_in_one_write() -> None:
    sender = Sender(100)
    sender.send(b"one ", b"two ", b"three")
    assert sender.stream.sent == b"one two three"
    assert sender.outbox.parts == []
    assert sender.calls == []


def test_the_backlog_is_sent_before_later_packets() -> None:
    sender = Sender(3)
    sender.send(b"first, ")
    sender.send(b"second")
    assert sender.outbox.blocked
    assert sender.stream.sent == b"fir"
    sender.stream.open(2)
    assert sender.outbox.blocked
    sender.stream.open(100)
    assert not sender.outbox.blocked
    assert sender.calls == ["emptied"]
    sender.outbox.flush()
    assert sender.stream.sent == b"first, second"


@pytest.mark.parametrize("later", [False, True], ids=["at once", "with a backlog"])
def test_a_broken_connection_is_reported_with_the_reason(later: bool) -> None:
    sender = Sender(1 if later else 0)
    broken = ConnectionResetError(104, "Connection reset by peer")
    if later:
        sender.send(b"begun")
        sender.stream.error = broken
        sender.stream.open(100)
    else:
        sender.stream.error = broken
        sender.send(b"begun")
    assert sender.calls == [str(broken)]


def test_a_sender_with_too_large_a_backlog_blocks_until_the_server_has_read_enough() -> None:
    sender = Sender(0)
    sender.send(bytes(MAX_BACKLOG + 10))
    waiter = gevent.spawn(sender.outbox.wait_for_room)
    gevent.idle()
    sender.stream.open(9)
    gevent.idle()
    assert not waiter.ready()
    sender.stream.open(1)
    waiter.get(timeout=10)
    assert sender.outbox.blocked


def test_a_blocked_sender_continues_when_the_connection_is_closed() -> None:
    sender = Sender(0)
    sender.send(bytes(MAX_BACKLOG + 10))
    waiter = gevent.spawn(sender.outbox.wait_for_room)
    gevent.idle()
    sender.outbox.close()
    waiter.get(timeout=10)


def test_nothing_is_sent_after_close() -> None:
    sender = Sender(2)
    sender.send(b"long")
    sender.outbox.close()
    sender.send(b"late")
    sender.stream.open(100)
    assert sender.stream.sent == b"lo"
    assert sender.calls == []
