"""Submitting, grabbing and reporting: the embedded server and gearmand alike."""

from __future__ import annotations

import pytest

from gearpool.protocol.codec import request
from tests.conformance.conftest import Server, serving
from tests.conformance.wire import T, eventually

FOREGROUND = [T.SUBMIT_JOB_HIGH, T.SUBMIT_JOB, T.SUBMIT_JOB_LOW]
BACKGROUND = [T.SUBMIT_JOB_HIGH_BG, T.SUBMIT_JOB_BG, T.SUBMIT_JOB_LOW_BG]
NOT_FOUND = (T.ERROR, b"JOB_NOT_FOUND", b"Job given in work result not found")


@pytest.mark.parametrize("kind_of_job", FOREGROUND, ids=lambda each: each.name)
def test_a_foreground_job_goes_to_a_worker_and_its_result_to_the_client(server: Server, kind_of_job: T) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u", b"in\0put", kind_of_job)
    assert worker.grab() == (T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"in\0put")
    worker.send_packet(T.WORK_COMPLETE, handle, b"out\0put")
    assert client.receive() == (T.WORK_COMPLETE, handle, b"out\0put")


@pytest.mark.parametrize("kind_of_job", BACKGROUND, ids=lambda each: each.name)
def test_a_background_job_is_run_and_its_client_receives_nothing(server: Server, kind_of_job: T) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u", b"x", kind_of_job)
    assert worker.grab() == (T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"x")
    worker.send_packet(T.WORK_COMPLETE, handle, b"y")
    assert worker.sync() == []
    assert client.sync() == []
    assert client.status(handle) == (b"0", b"0", b"0", b"0")


def test_a_background_job_outlives_its_client(server: Server) -> None:
    client = server.connect()
    handle = client.submit(b"f", b"u", b"x", T.SUBMIT_JOB_BG)
    client.close()
    assert server.connect().register(b"f").grab()[1] == handle


def test_jobs_are_assigned_by_priority_then_first_in_first_out(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    for number, kind_of_job in enumerate([T.SUBMIT_JOB_LOW, T.SUBMIT_JOB, T.SUBMIT_JOB_HIGH] * 2):
        client.submit(b"f", b"u%d" % number, b"%d" % number, kind_of_job)
    assert [worker.grab()[-1] for _ in range(6)] == [b"2", b"5", b"1", b"4", b"0", b"3"]


def test_grab_job_omits_the_unique_id(server: Server) -> None:
    handle = server.connect().submit(b"f", b"u", b"d", T.SUBMIT_JOB_BG)
    assert server.connect().register(b"f").ask(T.GRAB_JOB) == (T.JOB_ASSIGN, handle, b"f", b"d")


def test_pipelined_grabs_are_answered_in_order(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    for number in range(50):
        client.submit(b"f", b"%d" % number, b"%d" % number, T.SUBMIT_JOB_BG)
    worker.send(request(T.GRAB_JOB_UNIQ) * 60)
    reply = [worker.receive() for _ in range(60)]
    assert [each[-1] for each in reply[:50]] == [b"%d" % number for number in range(50)]
    assert reply[50:] == [(T.NO_JOB,)] * 10


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_535, 65_536, 3_000_000])
def test_payloads_of_any_size_and_content_pass_in_both_directions(server: Server, size: int) -> None:
    payload = (bytes(range(256)) * (size // 256 + 1))[:size]
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"", payload)
    assert worker.grab()[-1] == payload
    worker.send_packet(T.WORK_COMPLETE, handle, payload)
    assert client.receive() == (T.WORK_COMPLETE, handle, payload)


def test_everything_a_worker_reports_reaches_its_client_in_order(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f")
    worker.grab()
    reports = [
        (T.WORK_DATA, handle, b"da\0ta"),
        (T.WORK_DATA, handle, b""),
        (T.WORK_WARNING, handle, b"careful"),
        (T.WORK_STATUS, handle, b"1", b"2"),
        (T.WORK_COMPLETE, handle, b""),
    ]
    for kind, *arguments in reports:
        worker.send_packet(kind, *arguments)  # type: ignore[arg-type]  # a packet is a mixed tuple
    assert [client.receive() for _ in reports] == reports


def test_work_fail_ends_the_job(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f")
    worker.grab()
    worker.send_packet(T.WORK_FAIL, handle)
    assert client.receive() == (T.WORK_FAIL, handle)
    assert worker.grab() == (T.NO_JOB,)


def test_work_exception_is_sent_only_to_clients_that_asked_for_it(server: Server) -> None:
    asked, plain, worker = server.connect(), server.connect(), server.connect().register(b"f")
    assert asked.ask(T.OPTION_REQ, b"exceptions") == (T.OPTION_RES, b"exceptions")
    one, two = asked.submit(b"f", b"1"), plain.submit(b"f", b"2")
    worker.grab()
    worker.grab()
    worker.send_packet(T.WORK_EXCEPTION, one, b"bo\0om")
    worker.send_packet(T.WORK_EXCEPTION, two, b"boom")
    assert asked.receive() == (T.WORK_EXCEPTION, one, b"bo\0om")
    kind, handle = plain.receive()
    assert kind is T.WORK_FAIL
    assert handle == (two if server.ours else two + b"\0"), "gearmand leaves a stray NUL"
    worker.send_packet(T.WORK_FAIL, one)
    assert worker.receive() == NOT_FOUND, "the exception was the end"


def test_an_unknown_option_is_refused(server: Server) -> None:
    reply = server.connect().ask(T.OPTION_REQ, b"wings")
    assert reply == (T.ERROR, b"UNKNOWN_OPTION", b"Server does not recognize given option")


def test_a_result_is_accepted_only_from_the_owner_and_only_once(server: Server) -> None:
    client, owner, stranger = server.connect(), server.connect().register(b"f"), server.connect().register(b"f")
    handle = client.submit(b"f")
    owner.grab()
    assert stranger.ask(T.WORK_COMPLETE, handle, b"no") == NOT_FOUND
    assert stranger.ask(T.WORK_STATUS, handle, b"1", b"2") == NOT_FOUND
    assert stranger.ask(T.WORK_FAIL, handle) == NOT_FOUND
    owner.send_packet(T.WORK_COMPLETE, handle, b"yes")
    assert client.receive() == (T.WORK_COMPLETE, handle, b"yes")
    assert owner.ask(T.WORK_COMPLETE, handle, b"again") == NOT_FOUND
    assert owner.sync() == [], "the connection goes on"


def test_grab_job_all_receives_the_reducer(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    reply = client.ask(T.SUBMIT_REDUCE_JOB, b"f", b"u", b"sum", b"?", b"data")
    handle = reply[1]
    assert worker.ask(T.GRAB_JOB_ALL) == (T.JOB_ASSIGN_ALL, handle, b"f", b"u", b"sum", b"data")
    other = client.ask(T.SUBMIT_REDUCE_JOB_BACKGROUND, b"f", b"v", b"", b"", b"data")[1]
    assert worker.ask(T.GRAB_JOB_ALL) == (T.JOB_ASSIGN_UNIQ, other, b"f", b"v", b"data")


def test_a_due_epoch_job_is_assigned_and_a_later_one_is_not(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    due = client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"u", b"1000", b"x")[1]
    later = client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"v", b"9999999999" if server.ours else b"4000000000", b"y")[1]
    assert eventually(lambda: (reply := worker.grab())[0] is T.JOB_ASSIGN_UNIQ and reply, "the due job")[1] == due
    assert worker.grab() == (T.NO_JOB,)
    assert client.status(later) == (b"1", b"0", b"0", b"0")


@pytest.mark.parametrize("end", ["close", "reset", "half_close"])
def test_jobs_of_a_lost_worker_are_requeued_without_their_progress(server: Server, end: str) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u", b"x")
    last = client.submit(b"f", b"v", b"y")
    worker.grab()
    worker.send_packet(T.WORK_STATUS, handle, b"1", b"2")
    assert client.receive() == (T.WORK_STATUS, handle, b"1", b"2")
    assert client.status(handle) == (b"1", b"1", b"1", b"2")
    getattr(worker, end)()
    eventually(lambda: client.status(handle) == (b"1", b"0", b"0", b"0"), "the hand-back")
    other = server.connect().register(b"f")
    assert other.grab()[1] == last, "it went to the tail"
    assert other.grab()[1] == handle
    other.send_packet(T.WORK_COMPLETE, handle, b"r")
    assert client.receive() == (T.WORK_COMPLETE, handle, b"r")


def test_a_requeued_job_keeps_its_priority(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    high = client.submit(b"f", b"h", b"", T.SUBMIT_JOB_HIGH)
    worker.grab()
    client.submit(b"f", b"n")
    worker.close()
    eventually(lambda: client.status(high)[1] == b"0", "the hand-back")
    assert server.connect().register(b"f").grab()[1] == high


@pytest.mark.parametrize("kind_of_job", [T.SUBMIT_JOB, T.SUBMIT_JOB_BG], ids=lambda each: each.name)
def test_with_job_retries_a_job_fails_after_that_many_runs(kind: str, kind_of_job: T) -> None:
    with serving(kind, job_retries=2) as server:
        client = server.connect()
        handle = client.submit(b"f", b"u", b"x", kind_of_job)
        for run in (1, 2):
            worker = server.connect().register(b"f")
            assert worker.grab()[1] == handle
            worker.close()
            if run == 1:
                eventually(lambda: client.status(handle) == (b"1", b"0", b"0", b"0"), "the hand-back")
        if kind_of_job is T.SUBMIT_JOB:
            assert client.receive()[:2] == (T.WORK_FAIL, handle)
        eventually(lambda: client.status(handle) == (b"0", b"0", b"0", b"0"), "the end")


@pytest.mark.parametrize("packet", [T.CANT_DO, T.RESET_ABILITIES], ids=lambda each: each.name)
def test_unregistering_a_function_requeues_its_running_jobs(server: Server, packet: T) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    worker.send_packet(packet, *([b"f"] if packet is T.CANT_DO else []))
    assert worker.grab() == (T.NO_JOB,)
    assert client.status(handle) == (b"1", b"0", b"0", b"0")
    assert worker.ask(T.WORK_COMPLETE, handle, b"late") == NOT_FOUND
    assert worker.register(b"f").grab()[1] == handle


def test_jobs_of_several_functions_on_one_connection_are_assigned_in_turn(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"a", b"b")
    for number in range(2):
        client.submit(b"a", b"%d" % number, b"a%d" % number)
        client.submit(b"b", b"%d" % number, b"b%d" % number)
    client.submit(b"a", b"h", b"high", T.SUBMIT_JOB_HIGH)
    order = [worker.grab()[-1] for _ in range(5)]
    if not server.ours and server.version().startswith("1.1."):
        assert order == [b"b0", b"b1", b"high", b"a0", b"a1"], "gearmand 1.1: the last registered starves the others"
        return
    assert order[0] == b"high", "HIGH over all, with gearmand 2.0.0 as with ours"
    assert sorted(order[1:3]) == [b"a0", b"b0"], "then in turn"
    assert sorted(order[3:]) == [b"a1", b"b1"]
    if server.ours:
        assert order[1:] == [b"b0", b"a0", b"b1", b"a1"]
