"""Coalescing by unique id, and status."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Server
from tests.conformance.wire import T, eventually


def test_equal_unique_ids_are_one_job_with_the_first_payload_and_every_client_gets_its_result(server: Server) -> None:
    one, two, worker = server.connect(), server.connect(), server.connect().register(b"f")
    handle = one.submit(b"f", b"u", b"first")
    assert two.submit(b"f", b"u", b"second", T.SUBMIT_JOB_HIGH) == handle
    assert worker.grab() == (T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"first")
    assert worker.grab() == (T.NO_JOB,)
    worker.send_packet(T.WORK_DATA, handle, b"d")
    worker.send_packet(T.WORK_COMPLETE, handle, b"r")
    for client in (one, two):
        assert [client.receive(), client.receive()] == [(T.WORK_DATA, handle, b"d"), (T.WORK_COMPLETE, handle, b"r")]


def test_a_running_job_is_joined_too(server: Server) -> None:
    one, two, worker = server.connect(), server.connect(), server.connect().register(b"f")
    handle = one.submit(b"f", b"u")
    worker.grab()
    assert two.submit(b"f", b"u") == handle
    worker.send_packet(T.WORK_COMPLETE, handle, b"r")
    assert two.receive() == (T.WORK_COMPLETE, handle, b"r")


def test_the_key_is_function_and_unique_id(server: Server) -> None:
    client = server.connect()
    assert client.submit(b"f", b"u") != client.submit(b"g", b"u")


def test_jobs_without_a_unique_id_are_never_joined(server: Server) -> None:
    client = server.connect()
    assert client.submit(b"f", b"", b"same") != client.submit(b"f", b"", b"same")


def test_the_unique_id_dash_joins_by_payload(server: Server) -> None:
    client = server.connect()
    assert client.submit(b"f", b"-", b"same") == client.submit(b"f", b"-", b"same")
    assert client.submit(b"f", b"-", b"same") != client.submit(b"f", b"-", b"other")


def test_two_submissions_of_one_unique_id_on_one_connection_receive_everything_twice(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    assert client.submit(b"f", b"u") == handle
    worker.grab()
    worker.send_packet(T.WORK_COMPLETE, handle, b"r")
    assert [client.receive(), client.receive()] == [(T.WORK_COMPLETE, handle, b"r")] * 2


def test_a_unique_id_starts_a_new_job_after_the_previous_one_ended(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    worker.send_packet(T.WORK_COMPLETE, handle, b"r")
    client.receive()
    assert client.submit(b"f", b"u") != handle


@pytest.mark.parametrize("size", [63, 64, 65])
def test_unique_ids_are_accepted_up_to_64_bytes(server: Server, size: int) -> None:
    client = server.connect()
    one, two = (client.ask(T.SUBMIT_JOB, b"f", b"u" * size, b"") for _ in range(2))
    if size == 65:
        assert one == (T.ERROR, b"ARGUMENT_TOO_LARGE", b"Unique value too large")
    elif size == 63 or server.ours:
        assert one == two
    else:
        assert one != two, "64 bytes are not joined by gearmand"


def test_a_waiting_job_is_not_run_after_its_last_foreground_client_disconnects(server: Server) -> None:
    client, other, worker = server.connect(), server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    client.close()
    if server.ours:
        eventually(lambda: other.status(handle) == (b"0", b"0", b"0", b"0"), "the job to be dropped")
        # gearmand would answer the dead handle and never run this one.
        again = other.submit(b"f", b"u")
        assert again != handle
        assert worker.grab()[1] == again
    else:
        eventually(lambda: b"\t0\t1\t0\n" in _show_jobs(server), "the job to be ignored")
    assert worker.grab() == (T.NO_JOB,)


def _show_jobs(server: Server) -> bytes:
    from gearpool.protocol.admin import Command
    from tests.conformance.wire import ask_text

    return ask_text(server.port, Command.SHOW_JOBS)


def test_a_running_job_outlives_its_client(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    client.close()
    worker.send_packet(T.WORK_COMPLETE, handle, b"r")
    assert worker.sync() == [], "the worker cannot know"
    assert worker.status(handle) == (b"0", b"0", b"0", b"0")


def test_status_reports_each_step_of_a_job(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert client.status(handle) == (b"1", b"0", b"0", b"0")
    worker.grab()
    assert client.status(handle) == (b"1", b"1", b"0", b"0")
    worker.send_packet(T.WORK_STATUS, handle, b"3", b"10")
    worker.sync()
    assert client.status(handle) == (b"1", b"1", b"3", b"10")
    worker.send_packet(T.WORK_COMPLETE, handle, b"")
    worker.sync()
    assert client.status(handle) == (b"0", b"0", b"0", b"0")


def test_status_of_an_unknown_handle_is_all_zeros(server: Server) -> None:
    assert server.connect().status(b"H:nowhere:1") == (b"0", b"0", b"0", b"0")


def test_status_by_unique_id(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    assert client.ask(T.GET_STATUS_UNIQUE, b"u") == (T.STATUS_RES_UNIQUE, b"u", b"1", b"0", b"0", b"0", b"1")
    worker.grab()
    worker.send_packet(T.WORK_STATUS, handle, b"1", b"4")
    client.receive()
    assert client.ask(T.GET_STATUS_UNIQUE, b"u") == (T.STATUS_RES_UNIQUE, b"u", b"1", b"1", b"1", b"4", b"1")
    assert client.ask(T.GET_STATUS_UNIQUE, b"v") == (T.STATUS_RES_UNIQUE, b"v", b"0", b"0", b"0", b"0", b"0")
