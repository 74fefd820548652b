from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gearpool.supervisor.channel import Channel
from gearpool.supervisor.loop import Loop


class Ends:
    """A channel on one end of a socketpair, the bare socket on the other."""

    def __init__(self) -> None:
        self.loop = Loop()
        ours, self.peer = socket.socketpair()
        self.received: list[dict[str, Any]] = []
        self.ended = 0
        self.channel = Channel(self.loop, ours, self.on_message, self.on_end)

    def on_message(self, message: dict[str, Any]) -> None:
        self.received.append(message)
        if message.get("stop"):
            self.loop.stop()

    def on_end(self) -> None:
        self.ended += 1
        self.loop.stop()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.channel.close()
    made.peer.close()
    made.loop.close()


def test_lines_that_arrive_byte_by_byte_are_reassembled(ends: Ends) -> None:
    for byte in b'{"n": 1}\n{"n": 2}\n{"stop": true}\n':
        ends.peer.sendall(bytes([byte]))
    ends.loop.run()
    assert ends.received == [{"n": 1}, {"n": 2}, {"stop": True}]


def test_on_end_is_called_once_after_all_messages(ends: Ends) -> None:
    ends.peer.sendall(b'{"n": 1}\nhalf a li')
    ends.peer.close()
    ends.loop.run()
    assert ends.received == [{"n": 1}]
    assert ends.ended == 1


def test_finish_reads_what_a_dead_peer_has_sent(ends: Ends) -> None:
    ends.peer.sendall(b'{"n": 1}\n')
    ends.peer.close()
    ends.channel.finish()
    assert ends.received == [{"n": 1}]


def test_garbage_is_skipped(ends: Ends) -> None:
    ends.peer.sendall(b'\xff\xfe\n[]\n{"stop": true}\n')
    ends.loop.run()
    assert ends.received == [{"stop": True}]


def test_output_beyond_the_socket_buffer_is_sent_later(ends: Ends) -> None:
    ends.channel.send({"long": "x" * 2_000_000})
    assert not ends.channel.idle
    received = bytearray()
    ends.peer.setblocking(False)

    def take() -> None:
        with contextlib.suppress(BlockingIOError):
            received.extend(ends.peer.recv(1 << 20))
        if received.endswith(b"\n"):
            ends.loop.stop()
        else:
            ends.loop.later(0.001, take)

    ends.loop.soon(take)
    ends.loop.run()
    assert len(received) > 2_000_000
    assert ends.channel.idle


def test_sending_to_a_closed_peer_does_nothing(ends: Ends) -> None:
    ends.peer.close()
    ends.channel.send({"n": 1})
    ends.channel.close()
    ends.channel.send({"n": 2})
