"""PRE_SLEEP and NOOP."""

from __future__ import annotations

import threading

from gearpool.protocol.codec import request
from tests.conformance.conftest import Server
from tests.conformance.wire import T, Wire


def asleep(wire: Wire) -> Wire:
    wire.send_packet(T.PRE_SLEEP)
    assert wire.sync() == []
    return wire


def test_a_sleeping_worker_is_woken_by_a_job(server: Server) -> None:
    worker = asleep(server.connect().register(b"f"))
    handle = server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert worker.receive() == (T.NOOP,)
    assert worker.grab()[1] == handle


def test_an_awake_worker_gets_no_noop(server: Server) -> None:
    worker = server.connect().register(b"f")
    server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert worker.sync() == []


def test_several_jobs_wake_a_sleeping_worker_once(server: Server) -> None:
    worker = asleep(server.connect().register(b"f"))
    client = server.connect()
    for number in range(5):
        client.submit(b"f", b"%d" % number, b"", T.SUBMIT_JOB_BG)
    assert worker.receive() == (T.NOOP,)
    assert worker.sync() == []


def test_all_sleeping_workers_of_the_function_are_woken_and_no_others(server: Server) -> None:
    workers = [asleep(server.connect().register(b"f")) for _ in range(3)]
    other = asleep(server.connect().register(b"other"))
    server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert [worker.receive() for worker in workers] == [(T.NOOP,)] * 3
    assert other.sync() == []


def test_pre_sleep_with_a_job_waiting_is_answered_at_once(server: Server) -> None:
    server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert server.connect().register(b"f").ask(T.PRE_SLEEP) == (T.NOOP,)


def test_grabs_and_pre_sleep_in_one_write_get_waiting_jobs_and_a_wake_up_for_later_ones(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    for number in range(3):
        client.submit(b"f", b"%d" % number, b"%d" % number, T.SUBMIT_JOB_BG)
    worker.send(request(T.GRAB_JOB_UNIQ) * 2 + request(T.PRE_SLEEP))
    assert [worker.receive()[-1] for _ in range(2)] == [b"0", b"1"]
    assert worker.receive() == (T.NOOP,)
    worker.send(request(T.GRAB_JOB_UNIQ) * 2 + request(T.PRE_SLEEP))
    assert worker.receive()[-1] == b"2"
    assert worker.receive() == (T.NO_JOB,)
    assert worker.sync() == []
    client.submit(b"f", b"3", b"", T.SUBMIT_JOB_BG)
    assert worker.receive() == (T.NOOP,)


def test_no_wake_up_is_lost_when_grabs_and_arrivals_race(server: Server) -> None:
    jobs = 500
    seen: list[bytes] = []
    client, worker = server.connect(), server.connect().register(b"f")

    def submit() -> None:
        for number in range(jobs):
            client.submit(b"f", b"%d" % number, b"", T.SUBMIT_JOB_BG)

    submitting = threading.Thread(target=submit)
    submitting.start()
    ask = request(T.GRAB_JOB_UNIQ) * 4 + request(T.PRE_SLEEP)
    worker.send(ask)
    asked, woken = 4, False
    while len(seen) < jobs:
        reply = worker.receive()
        if reply[0] is T.NOOP:
            woken = True
        else:
            asked -= 1
            if reply[0] is T.JOB_ASSIGN_UNIQ:
                woken = True
                seen.append(reply[3])
                worker.send_packet(T.WORK_COMPLETE, reply[1], b"")
        if woken and not asked:
            worker.send(ask)
            asked, woken = 4, False
    submitting.join()
    assert sorted(seen, key=int) == [b"%d" % number for number in range(jobs)]


def test_pre_sleep_while_a_job_runs_is_harmless(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    asleep(worker)
    worker.send_packet(T.WORK_COMPLETE, handle, b"r")
    assert client.receive() == (T.WORK_COMPLETE, handle, b"r")
    client.submit(b"f", b"v")
    assert worker.receive() == (T.NOOP,)


def test_a_requeued_job_wakes_a_sleeping_worker(server: Server) -> None:
    worker = server.connect().register(b"f")
    handle = server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    worker.grab()
    sleeper = asleep(server.connect().register(b"f"))
    worker.close()
    assert sleeper.receive() == (T.NOOP,)
    assert sleeper.grab()[1] == handle


def test_registering_a_function_with_a_waiting_job_while_asleep_wakes_the_worker_in_ours_only(server: Server) -> None:
    server.connect().submit(b"late", b"u", b"", T.SUBMIT_JOB_BG)
    worker = asleep(server.connect().register(b"f"))
    worker.send_packet(T.CAN_DO, b"late")
    # gearmand is silent: whoever registers while asleep must grab.
    assert worker.sync() == ([(T.NOOP,)] if server.ours else [])


def test_pre_sleep_is_answered_with_noop_as_long_as_jobs_wait(server: Server) -> None:
    worker = asleep(server.connect().register(b"f"))
    server.connect().submit(b"f", b"1", b"", T.SUBMIT_JOB_BG)
    assert worker.receive() == (T.NOOP,)
    for _ in range(3):
        assert worker.ask(T.PRE_SLEEP) == (T.NOOP,)


def test_a_worker_that_slept_again_after_losing_its_job_is_woken_again_in_ours_only(server: Server) -> None:
    worker, quicker = asleep(server.connect().register(b"f")), server.connect().register(b"f")
    client = server.connect()
    client.submit(b"f", b"1", b"", T.SUBMIT_JOB_BG)
    assert worker.receive() == (T.NOOP,)
    quicker.grab()
    asleep(worker)
    client.submit(b"f", b"2", b"", T.SUBMIT_JOB_BG)
    # gearmand calls no more until a grab.
    assert worker.sync() == ([(T.NOOP,)] if server.ours else [])
