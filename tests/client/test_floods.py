"""Workers that never stop sending, and servers that never end a reply: memory and time are bounded."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import pytest

from gearpool import EventsDropped, JobTimedOut
from gearpool.client import Admin, Client, Data
from gearpool.client.futures import JobFuture
from gearpool.errors import RemoteProtocolError, TimedOut
from gearpool.protocol.codec import response
from gearpool.protocol.packets import PacketType
from tests.client.scripted import Peer, ScriptedServer

T = PacketType
FLOOD = response(T.WORK_DATA, b"H:1", bytes(60_000)) + response(T.WORK_WARNING, b"H:1", b"w")


def flood(peer: Peer) -> None:
    """Acknowledges one job and then sends its data without end."""
    peer.next()
    peer.send(T.JOB_CREATED, b"H:1")
    while True:
        peer.raw(FLOOD)


def resident() -> int:
    """Memory of this process in bytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - of /proc
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def drain(future: JobFuture) -> None:
    for _ in future.events():
        pass


def drain_with_a_limit(future: JobFuture) -> None:
    for _ in future.events(0.5):
        pass


@pytest.mark.parametrize(
    "wait",
    [JobFuture.result, lambda future: future.result(0.5), drain, drain_with_a_limit],
    ids=["result", "result(0.5)", "events", "events(0.5)"],
)
def test_a_job_that_never_stops_sending_ends_at_its_limit(wait: Callable[[JobFuture], object]) -> None:
    with ScriptedServer(flood) as server, Client(server.address) as client:
        future = client.submit("f", timeout=0.5)
        with pytest.raises((JobTimedOut, EventsDropped)):
            wait(future)
        assert isinstance(future.exception(), JobTimedOut)


def test_a_job_that_never_stops_sending_takes_no_memory_where_nobody_can_read() -> None:
    with ScriptedServer(flood) as server, Client(server.address) as client:
        before = resident()
        with pytest.raises(JobTimedOut):
            client.submit_job("f", timeout=1.0)
        assert resident() - before < 48 * 2**20


def test_of_what_is_not_read_a_bounded_part_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearpool.client.events.UnreadEvents.__init__.__defaults__", (1_000_000,), raising=True)
    parts = 200

    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        for number in range(parts):
            peer.send(T.WORK_DATA, b"H:1", b"%d" % number + bytes(50_000))
        peer.send(T.WORK_COMPLETE, b"H:1", b"end")
        peer.next()

    with ScriptedServer(script) as server, Client(server.address) as client:
        future = client.submit("f")
        assert future.result() == b"end"
        read: list[object] = []
        with pytest.raises(EventsDropped) as raised:
            read.extend(iter(future.events()))
        assert raised.value.dropped + len(read) == parts
        assert 0 < len(read) < 30
        assert [event.data.rstrip(b"\0") for event in read if isinstance(event, Data)] == [
            b"%d" % number for number in range(len(read))
        ]
        assert list(future.events()) == []


def test_a_gevent_program_goes_on_while_a_job_floods_it() -> None:
    program = """
        from gevent import monkey
        monkey.patch_all()
        import sys, gevent
        from gearpool import Client, JobTimedOut
        turns = []
        def other():
            while True:
                turns.append(1)
                gevent.sleep(0)
        with Client(sys.argv[1]) as client:
            running = gevent.spawn(other)
            try:
                client.submit_job("f", timeout=1.0)
            except JobTimedOut:
                print(len(turns) > 20)
            running.kill()
    """
    with ScriptedServer(flood) as server:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), server.address],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.stdout, ran.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    ("ask", "reply"),
    [
        (Admin.status, b"x" * 60_000),
        (Admin.status, b"f\t1\t1\t1\n" * 7_000),
        (Admin.version, b"x" * 60_000),
    ],
    ids=["rows without a line end", "rows without an end", "a line without an end"],
)
def test_a_text_reply_without_an_end_ends_at_a_limit(ask: Callable[[Admin], object], reply: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(100)
        for _ in itertools.repeat(None):
            peer.raw(reply)

    with ScriptedServer(script) as server, Client(server.address, request_timeout=2.0) as client:
        before = resident()
        with pytest.raises((TimedOut, RemoteProtocolError)):
            ask(client.admin)
        assert resident() - before < 160 * 2**20


def test_a_text_reply_that_trickles_ends_at_the_time_limit() -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(100)
        while True:
            peer.raw(b"f")
            time.sleep(0.02)

    with ScriptedServer(script) as server, Client(server.address, request_timeout=0.5) as client:
        with pytest.raises(TimedOut):
            client.admin.version()
