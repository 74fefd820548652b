"""One accepted connection, with everything around it made up."""

from __future__ import annotations

import tracemalloc
from operator import length_hint
from typing import Any

import pytest

from gearpool.protocol.codec import request
from gearpool.server.connections import PAUSE_READING_AT, SEND_BYTES, Connection
from gearpool.server.core import Core
from gearpool.server.memory_use import MemoryUse
from gearpool.server.pacing import HANDSHAKE_WORK, PASS_WORK, Pacing
from tests.conformance.wire import T


class Watcher:
    def __init__(self) -> None:
        self.running = False

    def start(self, *_: object) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def close(self) -> None:
        self.running = False


class Loop:
    def io(self, _fd: int, _events: int) -> Watcher:
        return Watcher()

    def timer(self, _seconds: float) -> Watcher:
        return Watcher()


class Stream:
    """Gives what it was told to, and takes so many bytes at once."""

    unsent = False

    def __init__(self, *, established: bool = True, takes: int = 1 << 40) -> None:
        self.established = established
        self.takes = takes
        self.arrived: list[bytes] = []
        self.asked: list[int] = []
        self.sent = 0

    def receive(self, most: int) -> bytes | None:
        self.asked.append(most)
        return self.arrived.pop(0) if self.arrived else None

    def send(self, data: bytes | memoryview) -> int:
        taken = min(len(data), self.takes)
        self.sent += taken
        return taken

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Server:
    """As much of a `JobServer` as a connection knows."""

    def __init__(self) -> None:
        self.core = Core()
        self.pacing = Pacing()
        self.memory_use: MemoryUse[Connection] = MemoryUse(1 << 40)
        self.max_unsent = 1 << 40
        self.loop = Loop()
        self.behind: list[Connection] = []
        self.turns = 0

    def flush_soon(self) -> None:
        self.turns += 1

    def put_behind(self, connection: Connection) -> None:
        self.behind.append(connection)

    def report(self, *_: object, **__: object) -> None:
        pass

    def gone(self, connection: Connection) -> None:
        self.core.disconnect(connection.peer)

    def connect(self, stream: Stream) -> Connection:
        owner: Any = self
        return Connection(owner, stream, 7, self.core.connect(), self.loop)


def test_a_handshake_waits_for_the_next_pass_when_this_one_is_full() -> None:
    server, stream = Server(), Stream(established=False)
    connection = server.connect(stream)
    for _ in range(PASS_WORK // HANDSHAKE_WORK):
        connection._on_readable()
    assert len(stream.asked) == PASS_WORK // HANDSHAKE_WORK
    connection._on_readable()
    assert len(stream.asked) == PASS_WORK // HANDSHAKE_WORK, "not read"
    assert server.turns == PASS_WORK // HANDSHAKE_WORK + 1, "the pass ends all the same"
    server.pacing.next_pass()
    connection._on_readable()
    assert len(stream.asked) == PASS_WORK // HANDSHAKE_WORK + 1


def test_with_requests_left_it_is_not_read_until_they_are_served() -> None:
    server, stream = Server(), Stream()
    connection = server.connect(stream)
    stream.arrived = [request(T.ECHO_REQ, b"x") * 5000]
    connection._on_readable()
    assert server.behind == [connection]
    assert not connection._reading
    while connection.peer.behind:
        connection.advance()
        connection.flush()
    assert connection._reading
    assert len(stream.asked) == 1


def test_while_replies_are_not_read_requests_that_were_read_wait() -> None:
    server, stream = Server(), Stream(takes=0)
    connection = server.connect(stream)
    stream.arrived = [request(T.ECHO_REQ, bytes(1000)) * 5000]
    connection._on_readable()
    connection.flush()
    assert connection.blocked
    assert connection.peer.behind
    stream.takes = 1 << 40
    before = len(server.behind)
    for _ in range(10):
        connection._send()
    assert not connection.blocked
    assert len(server.behind) > before, "it goes on when there is room"


def test_requests_that_wait_for_room_are_memory_that_it_costs() -> None:
    server, stream = Server(), Stream(takes=0)
    connection = server.connect(stream)
    # Each reply is longer than its request.
    stream.arrived = [request(T.GET_STATUS_UNIQUE, b"u") * 60_000]
    connection._on_readable()
    connection.flush()
    while not connection.blocked:
        connection.advance()
        connection.flush()
    connection.advance()
    count = length_hint(connection.peer.backlog)
    assert count > 1000
    assert server.memory_use.total >= connection._out_bytes + 100 * count


def test_lines_that_wait_for_room_take_little_more_than_what_was_sent() -> None:
    server, stream = Server(), Stream(takes=0)
    connection = server.connect(stream)
    stream.arrived = [b"\n" * 65536]
    tracemalloc.start()
    try:
        connection._on_readable()
        connection.peer.out.clear()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert connection.peer.behind
    assert taken < 4 * 65536


def test_one_call_sends_a_bounded_amount() -> None:
    server, stream = Server(), Stream()
    connection = server.connect(stream)
    connection.peer.send(bytes(100))
    for _ in range(100):
        connection.peer.send(bytes(200_000))
    connection.flush()
    assert SEND_BYTES <= stream.sent <= 2 * SEND_BYTES
    assert connection._writing, "the rest follows when the socket is ready"
    assert connection._out_bytes > PAUSE_READING_AT


def test_payloads_of_running_jobs_are_not_counted() -> None:
    server, stream = Server(), Stream(takes=0)
    server.max_unsent = 1024 * 1024
    client, worker = server.connect(Stream()), server.connect(stream)
    size = 4 * 1024 * 1024
    stream.arrived = [request(T.CAN_DO, b"f")]
    worker._on_readable()
    server.core.receive(client.peer, request(T.SUBMIT_JOB_BG, b"f", b"", bytes(size)))
    stream.arrived = [request(T.GRAB_JOB_UNIQ)]
    worker._on_readable()
    worker.flush()
    assert worker._out_bytes > size
    assert not worker.peer.closed
    assert server.memory_use.total == 0
    worker.peer.send(bytes(2 * 1024 * 1024))
    worker.flush()
    assert worker.peer.closed


def test_a_connection_is_idle_while_it_takes_no_part_in_a_job() -> None:
    server, stream = Server(), Stream()
    connection = server.connect(stream)
    assert connection.idle
    stream.arrived = [request(T.ECHO_REQ, b"x")[:5]]
    connection._on_readable()
    assert connection.idle, "half a packet keeps no connection"
    stream.arrived = [request(T.ECHO_REQ, b"x")[5:]]
    connection._on_readable()
    assert not connection.idle, "it has a reply to get"
    connection.flush()
    assert connection.idle
    stream.arrived = [request(T.SUBMIT_JOB_BG, b"f", b"", b"")]
    connection._on_readable()
    connection.flush()
    assert connection.idle, "a background job does not need it"


@pytest.mark.parametrize("packet", [request(T.CAN_DO, b"f"), request(T.SUBMIT_JOB, b"f", b"", b"")])
def test_a_worker_and_a_client_that_waits_are_not_idle(packet: bytes) -> None:
    server, stream = Server(), Stream()
    connection = server.connect(stream)
    stream.arrived = [packet]
    connection._on_readable()
    if connection.unsent:
        connection.flush()
    assert not connection.idle
