"""The outbox over a stream that takes as much as the test says."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from gearpool.net.greenlet_streams import Bytes
from gearpool.worker.outbox import MAX_BACKLOG, Outbox


class Narrow:
    """A stream that takes ``room`` bytes, and more when the test lets it."""

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

    def receive(self, most: int) -> bytes:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Sender:
    """An outbox, and what it told."""

    def __init__(self, room: int) -> None:
        self.stream = Narrow(room)
        self.told: list[str] = []
        self.outbox = Outbox(self.stream, lambda: self.told.append("emptied"), self.told.append)

    def say(self, *parts: bytes) -> None:
        self.outbox.parts += parts
        self.outbox.flush()


def test_parts_leave_in_order_and_together() -> None:
    sender = Sender(100)
    sender.say(b"one ", b"two ", b"three")
    assert sender.stream.sent == b"one two three"
    assert sender.outbox.parts == []
    assert sender.told == []


def test_what_the_server_does_not_read_goes_out_before_what_is_said_later() -> None:
    sender = Sender(3)
    sender.say(b"first, ")
    sender.say(b"second")
    assert sender.outbox.blocked
    assert sender.stream.sent == b"fir"
    sender.stream.open(2)
    assert sender.outbox.blocked
    sender.stream.open(100)
    assert not sender.outbox.blocked
    assert sender.told == ["emptied"]
    sender.outbox.flush()
    assert sender.stream.sent == b"first, second"


@pytest.mark.parametrize("later", [False, True], ids=["at once", "with a backlog"])
def test_a_connection_that_breaks_is_told_with_the_reason(later: bool) -> None:
    sender = Sender(1 if later else 0)
    broken = ConnectionResetError(104, "Connection reset by peer")
    if later:
        sender.say(b"begun")
        sender.stream.error = broken
        sender.stream.open(100)
    else:
        sender.stream.error = broken
        sender.say(b"begun")
    assert sender.told == [str(broken)]


def test_who_has_too_much_unsent_waits_until_the_server_has_read_enough() -> None:
    sender = Sender(0)
    sender.say(bytes(MAX_BACKLOG + 10))
    waiter = gevent.spawn(sender.outbox.wait_for_room)
    gevent.idle()
    sender.stream.open(9)
    gevent.idle()
    assert not waiter.ready()
    sender.stream.open(1)
    waiter.get(timeout=10)
    assert sender.outbox.blocked


def test_whoever_waits_for_room_goes_on_when_the_connection_is_gone() -> None:
    sender = Sender(0)
    sender.say(bytes(MAX_BACKLOG + 10))
    waiter = gevent.spawn(sender.outbox.wait_for_room)
    gevent.idle()
    sender.outbox.close()
    waiter.get(timeout=10)


def test_nothing_is_sent_after_the_end() -> None:
    sender = Sender(2)
    sender.say(b"long")
    sender.outbox.close()
    sender.say(b"late")
    sender.stream.open(100)
    assert sender.stream.sent == b"lo"
    assert sender.told == []
