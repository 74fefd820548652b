"""The stream that a worker's session reads and writes; `tests/worker` tests how jobs pass through it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import gevent
import gevent.event
import gevent.socket
import pytest
from gevent.hub import get_hub

from gearpool.net.greenlet_streams import FULL_READS, PlainStream, let_others_run


def test_let_others_run_serves_timers_and_sockets() -> None:
    """gevent's callbacks would not: it runs dozens of them before it looks at timers and sockets."""
    fired: list[str] = []
    ours, theirs = socket.socketpair()
    loop = get_hub().loop
    timer, readable = loop.timer(0.001), loop.io(ours.fileno(), 1)
    try:
        timer.start(fired.append, "timer")
        readable.start(fired.append, "socket")
        theirs.send(b"x")
        time.sleep(0.005)
        for _ in range(3):
            let_others_run(get_hub())
        assert {"timer", "socket"} <= set(fired)
    finally:
        for watcher in (timer, readable):
            watcher.stop()
            watcher.close()
        ours.close()
        theirs.close()


def test_a_reader_that_never_empties_its_socket_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = gevent.socket.socketpair()
    stream = PlainStream(ours)
    waits: list[object] = []
    wait = stream._hub.wait

    def counted(watcher: object) -> None:
        waits.append(watcher)
        wait(watcher)

    monkeypatch.setattr(stream._hub, "wait", counted)
    try:
        theirs.sendall(b"x" * 1000)
        for _ in range(10 * FULL_READS):
            assert stream.receive(10) == b"x" * 10
        assert len(waits) == 10
    finally:
        stream.close()
        theirs.close()
        gevent.sleep(0)


@pytest.fixture
def pair() -> Iterator[tuple[PlainStream, socket.socket]]:
    """A stream and its peer, which is not blocking either."""
    ours, theirs = gevent.socket.socketpair()
    stream = PlainStream(ours)
    yield stream, theirs
    stream.close()
    theirs.close()
    gevent.sleep(0)


def test_the_end_is_an_empty_read(pair: tuple[PlainStream, socket.socket]) -> None:
    stream, peer = pair
    peer.sendall(b"last")
    peer.shutdown(socket.SHUT_WR)
    assert stream.receive(100) == b"last"
    assert stream.receive(100) == b""


def test_a_full_socket_takes_nothing_and_calls_back_once_when_there_is_room(
    pair: tuple[PlainStream, socket.socket],
) -> None:
    stream, peer = pair
    sent = 0
    while taken := stream.send(bytes(65536)):
        sent += taken
    room = gevent.event.Event()
    calls: list[str] = []

    def called() -> None:
        calls.append("room")
        room.set()

    stream.when_writable(called)
    stream.when_writable(called)
    gevent.sleep(0)
    assert not calls
    while sent:
        sent -= len(peer.recv(65536))
    assert room.wait(20)
    assert calls == ["room"]


def test_finish_ends_the_sending_side_only(pair: tuple[PlainStream, socket.socket]) -> None:
    stream, peer = pair
    stream.send(b"bye")
    stream.finish()
    assert peer.recv(100) == b"bye"
    assert peer.recv(100) == b""
    peer.sendall(b"still read")
    assert stream.receive(100) == b"still read"


def test_closing_wakes_the_reader_and_refuses_what_follows(pair: tuple[PlainStream, socket.socket]) -> None:
    stream, _ = pair
    reader = gevent.spawn(stream.receive, 100)
    gevent.sleep(0)
    stream.close()
    assert reader.get(timeout=20) == b""
    assert stream.receive(100) == b""
    with pytest.raises(BrokenPipeError):
        stream.send(b"x")
    stream.when_writable(lambda: pytest.fail("it is closed"))
    stream.close()
