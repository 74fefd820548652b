"""PRE_SLEEP and NOOP."""

from __future__ import annotations

import threading

from gearpool.protocol.codec import request
from tests.conformance.conftest import Server
from tests.conformance.wire import T, Wire


def asleep(wire: Wire) -> Wire:
    wire.say(T.PRE_SLEEP)
    assert wire.settle() == []
    return wire


def test_a_sleeping_worker_is_woken_by_a_job(server: Server) -> None:
    worker = asleep(server.connect().can(b"f"))
    handle = server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert worker.hear() == (T.NOOP,)
    assert worker.grab()[1] == handle


def test_an_awake_worker_gets_no_noop(server: Server) -> None:
    worker = server.connect().can(b"f")
    server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert worker.settle() == []


def test_several_jobs_wake_a_sleeping_worker_once(server: Server) -> None:
    worker = asleep(server.connect().can(b"f"))
    client = server.connect()
    for number in range(5):
        client.submit(b"f", b"%d" % number, b"", T.SUBMIT_JOB_BG)
    assert worker.hear() == (T.NOOP,)
    assert worker.settle() == []


def test_all_sleeping_workers_of_the_function_are_woken_and_no_others(server: Server) -> None:
    workers = [asleep(server.connect().can(b"f")) for _ in range(3)]
    other = asleep(server.connect().can(b"other"))
    server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert [worker.hear() for worker in workers] == [(T.NOOP,)] * 3
    assert other.settle() == []


def test_pre_sleep_with_a_job_waiting_is_answered_at_once(server: Server) -> None:
    server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert server.connect().can(b"f").ask(T.PRE_SLEEP) == (T.NOOP,)


def test_grabs_and_pre_sleep_in_one_write_find_what_is_there_and_wake_for_the_rest(server: Server) -> None:
    client, worker = server.connect(), server.connect().can(b"f")
    for number in range(3):
        client.submit(b"f", b"%d" % number, b"%d" % number, T.SUBMIT_JOB_BG)
    worker.send(request(T.GRAB_JOB_UNIQ) * 2 + request(T.PRE_SLEEP))
    assert [worker.hear()[-1] for _ in range(2)] == [b"0", b"1"]
    assert worker.hear() == (T.NOOP,)
    worker.send(request(T.GRAB_JOB_UNIQ) * 2 + request(T.PRE_SLEEP))
    assert worker.hear()[-1] == b"2"
    assert worker.hear() == (T.NO_JOB,)
    assert worker.settle() == []
    client.submit(b"f", b"3", b"", T.SUBMIT_JOB_BG)
    assert worker.hear() == (T.NOOP,)


def test_no_wake_up_is_lost_when_grabs_and_arrivals_race(server: Server) -> None:
    jobs = 500
    seen: list[bytes] = []
    client, worker = server.connect(), server.connect().can(b"f")

    def submit() -> None:
        for number in range(jobs):
            client.submit(b"f", b"%d" % number, b"", T.SUBMIT_JOB_BG)

    submitting = threading.Thread(target=submit)
    submitting.start()
    ask = request(T.GRAB_JOB_UNIQ) * 4 + request(T.PRE_SLEEP)
    worker.send(ask)
    asked, woken = 4, False
    while len(seen) < jobs:
        said = worker.hear()
        if said[0] is T.NOOP:
            woken = True
        else:
            asked -= 1
            if said[0] is T.JOB_ASSIGN_UNIQ:
                woken = True
                seen.append(said[3])
                worker.say(T.WORK_COMPLETE, said[1], b"")
        if woken and not asked:
            worker.send(ask)
            asked, woken = 4, False
    submitting.join()
    assert sorted(seen, key=int) == [b"%d" % number for number in range(jobs)]


def test_pre_sleep_while_a_job_runs_is_harmless(server: Server) -> None:
    client, worker = server.connect(), server.connect().can(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    asleep(worker)
    worker.say(T.WORK_COMPLETE, handle, b"r")
    assert client.hear() == (T.WORK_COMPLETE, handle, b"r")
    client.submit(b"f", b"v")
    assert worker.hear() == (T.NOOP,)


def test_a_job_handed_back_wakes_a_sleeping_worker(server: Server) -> None:
    worker = server.connect().can(b"f")
    handle = server.connect().submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    worker.grab()
    sleeper = asleep(server.connect().can(b"f"))
    worker.close()
    assert sleeper.hear() == (T.NOOP,)
    assert sleeper.grab()[1] == handle


def test_can_do_while_asleep_with_a_job_waiting(server: Server) -> None:
    server.connect().submit(b"late", b"u", b"", T.SUBMIT_JOB_BG)
    worker = asleep(server.connect().can(b"f"))
    worker.say(T.CAN_DO, b"late")
    # gearmand is silent: whoever registers while asleep must grab.
    assert worker.settle() == ([(T.NOOP,)] if server.ours else [])


def test_pre_sleep_is_answered_with_noop_as_long_as_jobs_wait(server: Server) -> None:
    worker = asleep(server.connect().can(b"f"))
    server.connect().submit(b"f", b"1", b"", T.SUBMIT_JOB_BG)
    assert worker.hear() == (T.NOOP,)
    for _ in range(3):
        assert worker.ask(T.PRE_SLEEP) == (T.NOOP,)


def test_a_noop_for_a_job_that_another_took_answered_with_a_bare_pre_sleep(server: Server) -> None:
    worker, quicker = asleep(server.connect().can(b"f")), server.connect().can(b"f")
    client = server.connect()
    client.submit(b"f", b"1", b"", T.SUBMIT_JOB_BG)
    assert worker.hear() == (T.NOOP,)
    quicker.grab()
    asleep(worker)
    client.submit(b"f", b"2", b"", T.SUBMIT_JOB_BG)
    # gearmand calls no more until a grab.
    assert worker.settle() == ([(T.NOOP,)] if server.ours else [])
