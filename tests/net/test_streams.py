"""A connection read by one thread and written by others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gearpool.net.streams import Stream
from gearpool.timing import Deadline


@pytest.fixture
def pair() -> Iterator[tuple[Stream, socket.socket]]:
    ours, theirs = socket.socketpair()
    stream = Stream(ours)
    yield stream, theirs
    stream.close()
    theirs.close()


def test_bytes_come_and_then_the_end(pair: tuple[Stream, socket.socket]) -> None:
    stream, peer = pair
    peer.sendall(b"abc")
    assert stream.receive_within(10_000) == b"abc"
    peer.close()
    assert stream.receive_within(10_000) == b""


def test_waiting_for_bytes_ends_at_the_deadline(pair: tuple[Stream, socket.socket]) -> None:
    assert pair[0].receive_within(10) is None


def test_a_full_socket_takes_nothing_and_never_blocks(pair: tuple[Stream, socket.socket]) -> None:
    stream, _ = pair
    while stream.send(bytes(65536)):
        pass
    with pytest.raises(TimeoutError):
        stream.wait_writable(Deadline.after(0.01))
    assert stream.send(b"more") == 0


def test_more_than_fits_is_sent_while_the_peer_reads(pair: tuple[Stream, socket.socket]) -> None:
    stream, peer = pair
    data = bytes(range(256)) * 20_000
    received = bytearray()

    def read() -> None:
        while len(received) < len(data):
            received.extend(peer.recv(65536))

    reader = threading.Thread(target=read)
    reader.start()
    left = memoryview(data)
    while left:
        stream.wait_writable(Deadline.after(30))
        left = left[stream.send(left) :]
    reader.join(30)
    assert received == data


def test_shutting_wakes_the_reader(pair: tuple[Stream, socket.socket]) -> None:
    stream, _ = pair
    got: list[bytes | None] = []
    reader = threading.Thread(target=lambda: got.append(stream.receive_within(10_000)))
    reader.start()
    stream.shut()
    reader.join(10)
    assert got == [b""]


def test_closing_says_nothing_to_the_peer_of_a_shared_connection() -> None:
    ours, theirs = socket.socketpair()
    inherited = ours.dup()  # as a forked parent holds it
    Stream(ours).close()
    inherited.sendall(b"still here")
    assert theirs.recv(100) == b"still here"
    inherited.close()
    theirs.close()
