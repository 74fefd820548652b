"""Submissions, coalescing and status."""

from __future__ import annotations

import pytest

from gearpool.server.core import Core
from tests.server.law import check
from tests.server.talk import T, Talker, worker

FOREGROUND = [T.SUBMIT_JOB, T.SUBMIT_JOB_HIGH, T.SUBMIT_JOB_LOW]
BACKGROUND = [T.SUBMIT_JOB_BG, T.SUBMIT_JOB_HIGH_BG, T.SUBMIT_JOB_LOW_BG]


def status(talker: Talker, handle: bytes) -> tuple[bytes, ...]:
    ((kind, name, *numbers),) = talker.say(T.GET_STATUS, handle)
    assert kind is T.STATUS_RES
    assert name == handle
    return tuple(numbers)


@pytest.mark.parametrize("kind", FOREGROUND + BACKGROUND)
def test_every_submission_is_answered_with_a_handle_of_its_own(kind: T) -> None:
    client = Talker(Core(host="box"))
    assert client.say(kind, b"f", b"", b"x") == [(T.JOB_CREATED, b"H:box:1")]
    assert client.say(kind, b"f", b"", b"x") == [(T.JOB_CREATED, b"H:box:2")]


@pytest.mark.parametrize("kind", FOREGROUND)
def test_the_client_of_a_foreground_job_gets_its_result(kind: T) -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit(kind=kind)
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_COMPLETE, handle, b"re\0sult")
    assert client.heard() == [(T.WORK_COMPLETE, handle, b"re\0sult")]


@pytest.mark.parametrize("kind", BACKGROUND)
def test_the_client_of_a_background_job_hears_no_more_of_it(kind: T) -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit(kind=kind)
    runner = worker(core)
    runner.grab()
    assert runner.say(T.WORK_COMPLETE, handle, b"r") == []
    assert client.heard() == []


def test_high_goes_before_normal_before_low_and_each_in_order() -> None:
    core = Core()
    client = Talker(core)
    kinds = [
        T.SUBMIT_JOB_LOW,
        T.SUBMIT_JOB,
        T.SUBMIT_JOB_HIGH,
        T.SUBMIT_JOB_LOW_BG,
        T.SUBMIT_JOB_BG,
        T.SUBMIT_JOB_HIGH_BG,
    ]
    for number, kind in enumerate(kinds):
        client.submit(data=b"%d" % number, kind=kind)
    runner = worker(core)
    assert [runner.grab()[-1] for _ in kinds] == [b"2", b"5", b"1", b"4", b"0", b"3"]


def test_equal_unique_ids_of_one_function_are_one_job_with_the_first_payload() -> None:
    core = Core()
    one, two = Talker(core), Talker(core)
    handle = one.submit(unique=b"u", data=b"first")
    assert two.submit(unique=b"u", data=b"second", kind=T.SUBMIT_JOB_HIGH) == handle
    runner = worker(core)
    assert runner.grab() == (T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"first")
    assert runner.grab() == (T.NO_JOB,)
    runner.say(T.WORK_COMPLETE, handle, b"r")
    assert one.heard() == two.heard() == [(T.WORK_COMPLETE, handle, b"r")]


def test_equal_unique_ids_of_two_functions_are_two_jobs() -> None:
    client = Talker(Core())
    assert client.submit(b"f", b"u") != client.submit(b"g", b"u")


def test_a_running_job_is_joined_too() -> None:
    core = Core()
    one, two = Talker(core), Talker(core)
    handle = one.submit(unique=b"u")
    runner = worker(core)
    runner.grab()
    assert two.submit(unique=b"u") == handle
    runner.say(T.WORK_COMPLETE, handle, b"r")
    assert two.heard() == [(T.WORK_COMPLETE, handle, b"r")]


def test_after_its_end_a_unique_id_is_free() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit(unique=b"u")
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_COMPLETE, handle, b"")
    client.heard()
    assert client.submit(unique=b"u") != handle


def test_jobs_without_a_unique_id_are_never_joined() -> None:
    client = Talker(Core())
    assert client.submit(data=b"same") != client.submit(data=b"same")


def test_the_unique_id_dash_joins_jobs_of_equal_payload() -> None:
    client = Talker(Core())
    handle = client.submit(unique=b"-", data=b"same")
    assert client.submit(unique=b"-", data=b"same") == handle
    assert client.submit(unique=b"-", data=b"other") != handle


def test_a_client_that_submits_a_unique_id_twice_hears_everything_twice() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit(unique=b"u")
    assert client.submit(unique=b"u") == handle
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_COMPLETE, handle, b"r")
    assert client.heard() == [(T.WORK_COMPLETE, handle, b"r")] * 2


def test_a_sha256_digest_joins() -> None:
    client = Talker(Core())
    assert client.submit(unique=b"a" * 64) == client.submit(unique=b"a" * 64)


def test_a_unique_id_of_65_bytes_is_refused() -> None:
    client = Talker(Core())
    ((kind, code, _),) = client.say(T.SUBMIT_JOB, b"f", b"a" * 65, b"")
    assert (kind, code) == (T.ERROR, b"ARGUMENT_TOO_LARGE")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"", b"INVALID_FUNCTION_NAME"),
        (b"a\rb", b"INVALID_FUNCTION_NAME"),
        (b"a\nb", b"INVALID_FUNCTION_NAME"),
        (b"a" * 256, b"ARGUMENT_TOO_LARGE"),
    ],
)
def test_a_function_name_that_would_hurt_others_is_refused(name: bytes, code: bytes) -> None:
    client = Talker(Core())
    ((kind, given, _),) = client.say(T.SUBMIT_JOB, name, b"", b"")
    assert (kind, given) == (T.ERROR, code)
    ((kind, given, _),) = client.say(T.CAN_DO, name)
    assert (kind, given) == (T.ERROR, code)
    assert client.core.ledger.functions == {}


def test_function_names_are_bytes() -> None:
    core = Core()
    client = Talker(core)
    client.submit(b"\xff f\xe9", data=b"\0\xff")
    assert worker(core, b"\xff f\xe9").grab()[2:] == (b"\xff f\xe9", b"", b"\0\xff")


def test_a_waiting_job_leaves_with_its_last_client_and_frees_its_unique_id() -> None:
    core = Core()
    one, two = Talker(core), Talker(core)
    handle = one.submit(unique=b"u")
    two.submit(unique=b"u")
    one.leave()
    assert status(two, handle) == (b"1", b"0", b"0", b"0")
    two.leave()
    other = Talker(core)
    assert status(other, handle) == (b"0", b"0", b"0", b"0")
    assert worker(core).grab() == (T.NO_JOB,)
    assert other.submit(unique=b"u") != handle


@pytest.mark.parametrize("first", [T.SUBMIT_JOB, T.SUBMIT_JOB_BG])
def test_a_background_submission_keeps_a_joined_job_alive(first: T) -> None:
    core = Core()
    client, other = Talker(core), Talker(core)
    second = T.SUBMIT_JOB if first is T.SUBMIT_JOB_BG else T.SUBMIT_JOB_BG
    (client if first is T.SUBMIT_JOB else other).submit(unique=b"u", kind=first)
    (client if second is T.SUBMIT_JOB else other).submit(unique=b"u", kind=second)
    client.leave()
    assert worker(core).grab()[0] is T.JOB_ASSIGN_UNIQ


def test_a_running_job_outlives_its_client_and_its_result_is_thrown_away() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit()
    runner = worker(core)
    runner.grab()
    client.leave()
    assert status(runner, handle) == (b"1", b"1", b"0", b"0")
    assert runner.say(T.WORK_COMPLETE, handle, b"r") == []
    assert status(runner, handle) == (b"0", b"0", b"0", b"0")


def test_a_job_whose_client_and_worker_left_is_gone() -> None:
    core = Core()
    client = Talker(core)
    client.submit()
    runner = worker(core)
    runner.grab()
    client.leave()
    runner.leave()
    assert core.ledger.jobs == {}
    assert worker(core).grab() == (T.NO_JOB,)


def test_status_tells_known_running_and_progress() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit(kind=T.SUBMIT_JOB_BG)
    assert status(client, handle) == (b"1", b"0", b"0", b"0")
    runner = worker(core)
    runner.grab()
    assert status(client, handle) == (b"1", b"1", b"0", b"0")
    runner.say(T.WORK_STATUS, handle, b"3", b"10")
    assert status(client, handle) == (b"1", b"1", b"3", b"10")
    runner.say(T.WORK_STATUS, handle, b"nonsense", b"7 of 8")
    assert status(client, handle) == (b"1", b"1", b"0", b"7")
    runner.say(T.WORK_COMPLETE, handle, b"")
    assert status(client, handle) == (b"0", b"0", b"0", b"0")


@pytest.mark.parametrize("handle", [b"", b"H:nowhere:1", b"x" * 64, b"x" * 5000])
def test_status_of_a_handle_nobody_knows_is_all_zeros(handle: bytes) -> None:
    assert status(Talker(Core()), handle) == (b"0", b"0", b"0", b"0")


def test_status_by_unique_id_counts_the_waiting_clients() -> None:
    core = Core()
    one, two = Talker(core), Talker(core)
    one.submit(b"other", b"v")
    handle = one.submit(unique=b"u")
    two.submit(unique=b"u")
    assert one.say(T.GET_STATUS_UNIQUE, b"u") == [(T.STATUS_RES_UNIQUE, b"u", b"1", b"0", b"0", b"0", b"2")]
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_STATUS, handle, b"1", b"2")
    one.heard()
    assert one.say(T.GET_STATUS_UNIQUE, b"u") == [(T.STATUS_RES_UNIQUE, b"u", b"1", b"1", b"1", b"2", b"2")]


@pytest.mark.parametrize("unique", [b"", b"nobody", b"-"])
def test_status_by_a_unique_id_nobody_has_is_all_zeros(unique: bytes) -> None:
    client = Talker(Core())
    client.submit(unique=b"", data=b"")
    client.submit(unique=b"-", data=b"")
    answer = client.say(T.GET_STATUS_UNIQUE, unique)
    assert answer == [(T.STATUS_RES_UNIQUE, unique, b"0", b"0", b"0", b"0", b"0")]


def test_an_epoch_job_waits_for_its_time_and_then_wakes_workers() -> None:
    core = Core()
    client = Talker(core)
    runner = worker(core)
    runner.say(T.PRE_SLEEP)
    ((_, handle),) = client.say(T.SUBMIT_JOB_EPOCH, b"f", b"u", b"1000", b"later")
    assert core.ledger.next_due == 1000
    assert runner.heard() == []
    assert status(client, handle) == (b"1", b"0", b"0", b"0")
    core.ledger.release_due(999.9)
    assert runner.heard() == []
    assert runner.grab() == (T.NO_JOB,)
    runner.say(T.PRE_SLEEP)
    core.ledger.release_due(1000)
    check(core.ledger)
    assert runner.heard() == [(T.NOOP,)]
    assert runner.grab() == (T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"later")
    assert core.ledger.next_due is None


def test_epoch_jobs_come_in_the_order_of_their_times() -> None:
    core = Core()
    client = Talker(core)
    for epoch in (b"30", b"10", b"20"):
        client.say(T.SUBMIT_JOB_EPOCH, b"f", b"", epoch, epoch)
    core.ledger.release_due(25)
    runner = worker(core)
    assert [runner.grab()[-1] for _ in range(2)] == [b"10", b"20"]
    assert runner.grab() == (T.NO_JOB,)


def test_a_submission_joins_a_scheduled_job() -> None:
    client = Talker(Core())
    ((_, handle),) = client.say(T.SUBMIT_JOB_EPOCH, b"f", b"u", b"1000", b"")
    assert client.submit(unique=b"u") == handle


@pytest.mark.parametrize("epoch", [b"", b"soon", b"-5", b"1.5", b"9" * 16, b"9" * 30, b"9" * 5000])
def test_a_time_that_is_none_is_refused_and_the_connection_goes_on(epoch: bytes) -> None:
    client = Talker(Core())
    ((kind, code, _),) = client.say(T.SUBMIT_JOB_EPOCH, b"f", b"", epoch, b"")
    assert (kind, code) == (T.ERROR, b"ARGUMENT_TOO_LARGE")
    assert client.say(T.ECHO_REQ, b"x") == [(T.ECHO_RES, b"x")]


@pytest.mark.parametrize("kind", [T.SUBMIT_REDUCE_JOB, T.SUBMIT_REDUCE_JOB_BACKGROUND])
def test_a_reducer_is_told_to_who_grabs_all(kind: T) -> None:
    core = Core()
    client = Talker(core)
    ((_, handle),) = client.say(kind, b"f", b"u", b"sum", b"?", b"da\0ta")
    assert worker(core).say(T.GRAB_JOB_ALL) == [(T.JOB_ASSIGN_ALL, handle, b"f", b"u", b"sum", b"da\0ta")]


def test_the_queue_limit_holds_for_its_priority_and_lets_joining_pass() -> None:
    core = Core()
    client = Talker(core)
    assert Talker(core).ask("maxqueue f 3 2 1") == "OK\r\n"
    one = client.submit(unique=b"1")
    client.submit(unique=b"2")
    assert client.say(T.SUBMIT_JOB, b"f", b"3", b"") == [(T.ERROR, b"QUEUE_ERROR", b"Job queue is full")]
    assert client.say(T.SUBMIT_JOB_LOW_BG, b"f", b"3", b"")[0][1] == b"QUEUE_ERROR"
    assert client.submit(unique=b"1") == one
    client.submit(unique=b"3", kind=T.SUBMIT_JOB_HIGH)
    assert client.say(T.SUBMIT_JOB_HIGH, b"f", b"4", b"")[0][1] == b"QUEUE_ERROR"
    assert Talker(core).ask("maxqueue f") == "OK\r\n"
    client.submit(unique=b"4")


def test_while_draining_submissions_are_refused_and_grabs_find_nothing() -> None:
    core = Core()
    client = Talker(core)
    running, waiting = client.submit(data=b"1"), client.submit(data=b"2")
    runner = worker(core)
    runner.grab()
    core.drain()
    for kind in FOREGROUND + BACKGROUND:
        assert client.say(kind, b"f", b"", b"")[0][:2] == (T.ERROR, b"QUEUE_ERROR")
    for kind in (T.GRAB_JOB, T.GRAB_JOB_UNIQ, T.GRAB_JOB_ALL):
        assert runner.say(kind) == [(T.NO_JOB,)]
    runner.say(T.WORK_COMPLETE, running, b"r")
    assert client.heard() == [(T.WORK_COMPLETE, running, b"r")]
    assert status(client, waiting) == (b"1", b"0", b"0", b"0")
