"""The stream of a session; how jobs pass through it is in `tests/worker`."""

from __future__ import annotations

import socket
import time

import gevent.socket
import pytest
from gevent.hub import get_hub

from gearpool.net.greenlet_streams import FULL_READS, PlainStream, let_others_run


def test_who_lets_others_run_lets_timers_and_sockets_have_their_turn() -> None:
    """Which callbacks of gevent do not: it serves dozens of them before it looks at either."""
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


def test_a_reader_to_whom_more_and_more_is_sent_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
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
