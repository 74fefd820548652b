"""Malformed input: the server survives it and other connections are not affected."""

from __future__ import annotations

import pytest

from gearpool.protocol.codec import request
from tests.conformance.conftest import Server
from tests.conformance.wire import T, Wire


def alive(server: Server) -> None:
    with Wire(server.port) as other:
        assert other.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")


@pytest.mark.parametrize(
    "data",
    [
        b"\0BAD" + bytes(8),
        b"\0REQ\0\0\0\0\0\0\0\0",
        b"\0REQ\0\0\0\x2b\0\0\0\0",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\n\n",
        b"GET / HTTP/1.1\r\nHost: one two three four five\r\n\r\n",
    ],
    ids=["magic", "type 0", "type 43", "a TLS hello", "HTTP"],
)
def test_input_that_is_not_gearman_is_answered_or_disconnected_and_others_are_served(
    server: Server, data: bytes
) -> None:
    with Wire(server.port) as victim:
        victim.send(data)
        if data[:1] == b"\0":
            assert victim.closed()
    alive(server)


@pytest.mark.parametrize(
    "kind",
    [T.SUBMIT_JOB_SCHED, T.ALL_YOURS, T.UNUSED, T.NOOP, T.JOB_CREATED, T.NO_JOB, T.ECHO_RES],
    ids=lambda each: each.name,
)
def test_packets_not_meant_for_a_server_get_an_error(server: Server, kind: T) -> None:
    wire = server.connect()
    arguments = {T.SUBMIT_JOB_SCHED: 8, T.JOB_CREATED: 1, T.ECHO_RES: 1}.get(kind, 0)
    assert wire.ask(kind, *[b"1"] * arguments) == (T.ERROR, b"INVALID_COMMAND", b"Command not expected")
    assert wire.sync() == []


def test_a_request_with_the_response_magic_gets_an_error(server: Server) -> None:
    wire = server.connect()
    wire.send(b"\0RES\0\0\0\x10\0\0\0\x01x")
    assert wire.receive() == (T.ERROR, b"INVALID_MAGIC", b"Request magic expected")
    if server.ours:
        assert wire.closed(), "gearmand goes on"
    else:
        assert wire.sync() == []


def test_a_packet_with_too_few_arguments_closes_our_connection_and_requeues_its_jobs(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    # WORK_COMPLETE without the separator after the handle. gearmand waits for more, and closes at the next packet.
    worker.send(b"\0REQ\0\0\0\x0d" + len(handle).to_bytes(4, "big") + handle)
    worker.send(request(T.ECHO_REQ, b"x"))
    assert worker.closed()
    other = server.connect().register(b"f")
    reply = other.ask(T.PRE_SLEEP)
    assert reply == (T.NOOP,)
    assert other.grab()[1] == handle


def test_an_unexpected_body_is_ignored(server: Server) -> None:
    worker = server.connect().register(b"f")
    worker.send(b"\0REQ\0\0\0\x1e\0\0\0\x03abc")
    assert worker.receive() == (T.NO_JOB,)
    assert worker.sync() == []


def test_packets_split_at_any_byte_are_reassembled(server: Server) -> None:
    wire = server.connect()
    data = b"".join(request(T.ECHO_REQ, b"%d" % number) for number in range(200))
    for at in range(0, len(data), 7):
        wire.send(data[at : at + 7])
    assert [wire.receive() for _ in range(200)] == [(T.ECHO_RES, b"%d" % number) for number in range(200)]
