"""Scripted faults: each shows the client, and the worker, what a broken network or server would."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import gevent
import pytest

from gearpool import Client, ConnectionLost, Job, JobTimedOut, NoServersAvailable, SubmitUnknown
from gearpool.errors import InvalidArgument, TimedOut
from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from gearpool.testing import ThreadedJobServer, ThreadedWorker, job_server, working
from tests.processes import wait_for


@pytest.fixture
def server() -> Iterator[ThreadedJobServer]:
    with job_server() as running:
        yield running


@pytest.fixture
def worker(server: ThreadedJobServer) -> Iterator[ThreadedWorker]:
    with working(server, reverse=lambda arg: arg[::-1]) as running:
        yield running


@pytest.fixture
def client(server: ThreadedJobServer) -> Iterator[Client]:
    with Client(server.address, request_timeout=0.5, connect_timeout=0.5, job_timeout=20) as made:
        yield made


def test_refused_connections_and_open_ones(server: ThreadedJobServer, client: Client) -> None:
    job = client.submit_background_job("nobody", "x")
    server.faults.refuse()
    assert client.get_job_status(job).is_known
    with Client(server.address) as late, pytest.raises(NoServersAvailable, match="refused"):
        late.echo()
    server.faults.drop()
    wait_for(lambda: client._dispatch.pool.current(server.address) is None, "the client to notice")
    with pytest.raises(NoServersAvailable, match="refused"):
        client.echo()
    server.faults.clear()
    assert client.get_job_status(job).is_known  # the server has forgotten nothing


def test_dropped_connections_are_reopened(server: ThreadedJobServer, client: Client, worker: ThreadedWorker) -> None:
    waiting = client.submit("nobody", "x")
    waiting.job()
    server.faults.drop()
    assert type(waiting.exception(20)) is ConnectionLost
    assert client.submit_job("reverse", "abc", timeout=20) == b"cba"


def test_a_connection_drops_after_so_many_packets(server: ThreadedJobServer, client: Client) -> None:
    client.echo()
    server.faults.drop_after(packets=3)
    futures = list(client.submit_many("nobody", ["0", "1", "2", "3"]))  # in one write
    for future in futures[:3]:
        assert future.job().handle
        assert type(future.exception(20)) is ConnectionLost
    assert isinstance(futures[3].exception(20), SubmitUnknown)
    server.faults.clear()
    assert client.echo(b"x") == b"x"


def test_an_acknowledgement_that_gets_lost_leaves_the_submission_unknown(
    server: ThreadedJobServer, client: Client
) -> None:
    server.faults.lose_next("JOB_CREATED")
    with pytest.raises(SubmitUnknown):
        client.submit_background_job("nobody", "x", unique="mine")
    assert server.faults.lost == ["JOB_CREATED"]
    assert client.get_job_status(unique="mine").is_known
    assert client.submit_background_job("nobody", "x", unique="mine").handle


def test_a_submission_that_gets_lost_is_unknown_too_and_was_never_made(
    server: ThreadedJobServer, client: Client
) -> None:
    server.faults.lose_next("SUBMIT_JOB_BG", direction="received")
    with pytest.raises(SubmitUnknown):
        client.submit_background_job("nobody", "x", unique="mine")
    assert not client.get_job_status(unique="mine").is_known


def test_a_submission_that_gets_lost_leaves_the_client_usable_though_the_server_talks_of_other_jobs(
    server: ThreadedJobServer, client: Client
) -> None:
    def talk(_arg: bytes, job: Job) -> bytes:
        for _ in range(200):
            job.data(b"still here")
            gevent.sleep(0.02)
        return b"done"

    with working(server, talk=talk):
        talking = client.submit("talk", "x")
        talking.job()
        server.faults.lose_next("SUBMIT_JOB_BG", direction="received")
        with pytest.raises(SubmitUnknown):
            client.submit_background_job("nobody", "x", unique="mine")
        assert not client.get_job_status(unique="mine").is_known
        assert talking.result(60) == b"done"


def test_a_result_that_gets_lost_ends_in_the_time_given(
    server: ThreadedJobServer, client: Client, worker: ThreadedWorker
) -> None:
    server.faults.lose_next("WORK_COMPLETE")
    with pytest.raises((JobTimedOut, ConnectionLost)):
        client.submit_job("reverse", "x", timeout=1)
    assert client.submit_job("reverse", "ab", timeout=20) == b"ba"


def test_several_packets_can_be_lost(server: ThreadedJobServer) -> None:
    server.faults.lose_next("ECHO_RES", count=2)
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        for word in (b"one", b"two", b"three"):
            sock.sendall(request(PacketType.ECHO_REQ, word))
        assert sock.recv(100).endswith(b"three")
    with pytest.raises(InvalidArgument, match="not the name of a packet"):
        server.faults.lose_next("JOB_CREATE")


def test_a_silent_server_is_a_black_hole_in_bounded_time(server: ThreadedJobServer, client: Client) -> None:
    client.echo()
    server.faults.silence()
    with pytest.raises(TimedOut):
        client.echo()
    with pytest.raises(NoServersAvailable, match="does not answer"):
        client.echo()
    server.faults.clear()
    assert client.echo(b"x") == b"x"


def test_a_worker_outlives_an_outage(server: ThreadedJobServer, client: Client, worker: ThreadedWorker) -> None:
    server.faults.refuse()
    server.faults.drop()
    server.faults.clear()
    assert client.submit_job("reverse", "abc") == b"cba"


def test_a_delay_delays_and_loses_nothing(server: ThreadedJobServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        server.faults.delay(0.2)
        began = time.monotonic()
        sock.sendall(request(PacketType.ECHO_REQ, b"one") + request(PacketType.ECHO_REQ, b"two"))
        got = b""
        while not got.endswith(b"two"):
            got += sock.recv(100)
        assert time.monotonic() - began >= 0.2
        assert got.count(b"\0RES") == 2
        server.faults.clear()
        sock.sendall(request(PacketType.ECHO_REQ, b"three"))
        assert sock.recv(100).endswith(b"three")


def test_garbage_ends_the_connection_and_the_next_one_works(server: ThreadedJobServer, client: Client) -> None:
    client.echo()
    server.faults.garble()
    future = client.submit("nobody", "x")
    assert isinstance(future.exception(20), SubmitUnknown)
    assert client.echo(b"x") == b"x"


def test_large_packets_pass_whole_while_faults_come_and_go(server: ThreadedJobServer) -> None:
    big = bytes(range(256)) * 20_000
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock, sock.makefile("rb") as stream:
        for round_ in range(6):
            packet = request(PacketType.ECHO_REQ, big)
            sock.sendall(packet[: 100_000 * round_])
            if round_ % 2:
                # Never comes about: but every packet is looked at from now on, this one from its middle.
                server.faults.lose_next("CANT_DO", direction="received")
                server.faults.lose_next("STATUS_RES")
            else:
                server.faults.clear()
            sock.sendall(packet[100_000 * round_ :])
            assert stream.read(12 + len(big))[12:] == big
    assert server.faults.lost == []


def test_lines_of_text_pass_while_packets_are_lost(server: ThreadedJobServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock, sock.makefile("rb") as stream:
        sock.sendall(b"vers")
        server.faults.lose_next("ECHO_RES")
        sock.sendall(b"ion\nstatus\n")
        assert stream.readline().startswith(b"OK gearpool-")
        assert stream.readline() == b".\n"


def test_after_a_restart_the_faults_can_be_used_again(server: ThreadedJobServer) -> None:
    server.restart()
    server.faults.lose_next("ECHO_RES")
    with Client(server.address, connect_timeout=0.3) as client, pytest.raises(NoServersAvailable):
        client.echo()
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        server.faults.drop()
