"""Abilities, grabbing, sleeping, reports and hand-backs."""

from __future__ import annotations

import pytest

from gearpool.protocol.codec import request
from gearpool.server.core import Core
from tests.server.talk import T, Talker, worker


def test_grab_job_does_not_tell_the_unique_id() -> None:
    core = Core()
    handle = Talker(core).submit(unique=b"u", data=b"d", kind=T.SUBMIT_JOB_BG)
    assert worker(core).say(T.GRAB_JOB) == [(T.JOB_ASSIGN, handle, b"f", b"d")]


def test_grab_job_uniq_tells_the_unique_id() -> None:
    core = Core()
    handle = Talker(core).submit(unique=b"u", data=b"d", kind=T.SUBMIT_JOB_BG)
    assert worker(core).say(T.GRAB_JOB_UNIQ) == [(T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"d")]


def test_grab_job_all_answers_as_grab_job_uniq_where_there_is_no_reducer() -> None:
    core = Core()
    handle = Talker(core).submit(unique=b"u", data=b"d", kind=T.SUBMIT_JOB_BG)
    assert worker(core).say(T.GRAB_JOB_ALL) == [(T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"d")]


@pytest.mark.parametrize("kind", [T.GRAB_JOB, T.GRAB_JOB_UNIQ, T.GRAB_JOB_ALL])
def test_a_grab_without_a_job_is_answered_with_no_job(kind: T) -> None:
    core = Core()
    Talker(core).submit(b"other", kind=T.SUBMIT_JOB_BG)
    assert worker(core).say(kind) == [(T.NO_JOB,)]
    assert Talker(core).say(kind) == [(T.NO_JOB,)]


@pytest.mark.parametrize("size", [0, 1000, 1023, 70_000])
@pytest.mark.parametrize("kind", [T.GRAB_JOB, T.GRAB_JOB_UNIQ, T.GRAB_JOB_ALL])
def test_payloads_of_any_size_are_assigned_whole(kind: T, size: int) -> None:
    core = Core()
    Talker(core).submit(data=b"\0" * size, kind=T.SUBMIT_JOB_BG)
    assert worker(core).say(kind)[0][-1] == b"\0" * size


def test_many_grabs_in_one_write_are_answered_in_order() -> None:
    core = Core()
    client = Talker(core)
    for number in range(5):
        client.submit(data=b"%d" % number)
    replies = worker(core).send(request(T.GRAB_JOB_UNIQ) * 7)
    assert [reply[-1] for reply in replies[:5]] == [b"0", b"1", b"2", b"3", b"4"]
    assert replies[5:] == [(T.NO_JOB,)] * 2


def test_with_several_functions_high_goes_first_over_all_and_then_they_take_turns() -> None:
    core = Core()
    client = Talker(core)
    for function in (b"a", b"b", b"c"):
        for number in (b"1", b"2"):
            client.submit(function, data=function + number)
    client.submit(b"c", data=b"c high", kind=T.SUBMIT_JOB_HIGH)
    client.submit(b"a", data=b"a low", kind=T.SUBMIT_JOB_LOW)
    runner = worker(core, b"a", b"b", b"c")
    order = [runner.grab()[-1] for _ in range(8)]
    assert order == [b"c high", b"a1", b"b1", b"c1", b"a2", b"b2", b"c2", b"a low"]
    assert runner.grab() == (T.NO_JOB,)


def test_can_do_twice_registers_once() -> None:
    core = Core()
    runner = worker(core, b"f", b"f")
    assert Talker(core).ask("status") == "f\t0\t0\t1\n.\n"
    runner.say(T.CANT_DO, b"f")
    assert Talker(core).ask("status") == "f\t0\t0\t0\n.\n"


def test_can_do_timeout_is_can_do() -> None:
    core = Core()
    Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    runner = Talker(core)
    assert runner.say(T.CAN_DO_TIMEOUT, b"f", b"5") == []
    assert runner.grab()[0] is T.JOB_ASSIGN_UNIQ


def test_cant_do_of_what_it_never_could_is_nothing() -> None:
    core = Core()
    runner = worker(core, b"f")
    assert runner.say(T.CANT_DO, b"g") == []
    Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    assert runner.grab()[0] is T.JOB_ASSIGN_UNIQ


def test_cant_do_hands_back_running_jobs_of_that_function_only() -> None:
    core = Core()
    client = Talker(core)
    f, g = client.submit(b"f", b"", b"f"), client.submit(b"g", b"", b"g")
    runner = worker(core, b"f", b"g")
    runner.grab()
    runner.grab()
    runner.say(T.CANT_DO, b"f")
    assert Talker(core).ask("show jobs") == f"{f.decode()}\t1\t0\t0\n{g.decode()}\t0\t0\t0\n.\n"
    assert runner.say(T.WORK_COMPLETE, f, b"") == [(T.ERROR, b"JOB_NOT_FOUND", b"Job given in work result not found")]
    assert runner.say(T.WORK_COMPLETE, g, b"") == []
    assert runner.grab() == (T.NO_JOB,)
    assert worker(core).grab()[1] == f


def test_reset_abilities_hands_back_everything() -> None:
    core = Core()
    client = Talker(core)
    client.submit(b"f")
    client.submit(b"g")
    runner = worker(core, b"f", b"g")
    runner.grab()
    runner.grab()
    runner.say(T.RESET_ABILITIES)
    assert runner.grab() == (T.NO_JOB,)
    assert core.running == 0
    other = worker(core, b"f", b"g")
    assert {other.grab()[2], other.grab()[2]} == {b"f", b"g"}


def test_a_sleeping_worker_gets_one_noop_however_many_jobs_come() -> None:
    core = Core()
    runner = worker(core)
    assert runner.say(T.PRE_SLEEP) == []
    client = Talker(core)
    for _ in range(3):
        client.submit()
    assert runner.heard() == [(T.NOOP,)]


def test_an_awake_worker_gets_no_noop() -> None:
    core = Core()
    runner = worker(core)
    Talker(core).submit()
    assert runner.heard() == []


def test_a_job_of_another_function_wakes_nobody() -> None:
    core = Core()
    runner = worker(core)
    runner.say(T.PRE_SLEEP)
    Talker(core).submit(b"other")
    assert runner.heard() == []


def test_every_sleeping_worker_of_the_function_is_woken() -> None:
    core = Core()
    runners = [worker(core) for _ in range(3)]
    for runner in runners:
        runner.say(T.PRE_SLEEP)
    Talker(core).submit()
    assert [runner.heard() for runner in runners] == [[(T.NOOP,)]] * 3


def test_pre_sleep_with_a_job_waiting_is_answered_with_noop_at_once() -> None:
    core = Core()
    runner = worker(core)
    Talker(core).submit()
    assert runner.say(T.PRE_SLEEP) == [(T.NOOP,)]


def test_grabs_and_pre_sleep_in_one_write_lose_no_wake_up() -> None:
    core = Core()
    client = Talker(core)
    runner = worker(core)
    assert runner.send(request(T.GRAB_JOB_UNIQ) * 2 + request(T.PRE_SLEEP)) == [(T.NO_JOB,)] * 2
    client.submit(data=b"1")
    assert runner.heard() == [(T.NOOP,)]
    for number in range(2, 5):
        client.submit(data=b"%d" % number)
    replies = runner.send(request(T.GRAB_JOB_UNIQ) * 2 + request(T.PRE_SLEEP))
    assert [reply[-1] for reply in replies[:2]] == [b"1", b"2"]
    assert replies[2:] == [(T.NOOP,)], "two are left"


def test_a_noop_answered_with_a_bare_pre_sleep_does_not_lose_the_next() -> None:
    core = Core()
    client = Talker(core)
    runner, quicker = worker(core), worker(core)
    runner.say(T.PRE_SLEEP)
    client.submit()
    assert runner.heard() == [(T.NOOP,)]
    assert runner.say(T.PRE_SLEEP) == [(T.NOOP,)], "it waits still"
    quicker.grab()
    assert runner.say(T.PRE_SLEEP) == []
    client.submit()
    assert runner.heard() == [(T.NOOP,)]


def test_pre_sleep_while_jobs_run_is_harmless() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit()
    runner = worker(core)
    runner.grab()
    assert runner.say(T.PRE_SLEEP) == []
    assert runner.say(T.WORK_COMPLETE, handle, b"r") == []
    client.heard()
    client.submit()
    assert runner.heard() == [(T.NOOP,)]


def test_can_do_while_asleep_wakes_for_a_job_that_already_waits() -> None:
    core = Core()
    Talker(core).submit(b"late")
    runner = worker(core)
    runner.say(T.PRE_SLEEP)
    assert runner.say(T.CAN_DO, b"late") == [(T.NOOP,)]


def test_a_worker_asleep_for_two_functions_is_woken_once_until_it_sleeps_again() -> None:
    core = Core()
    client = Talker(core)
    runner = worker(core, b"a", b"b")
    runner.say(T.PRE_SLEEP)
    client.submit(b"a")
    client.submit(b"b")
    assert runner.heard() == [(T.NOOP,)]


def test_reports_reach_every_client_of_the_job_in_order() -> None:
    core = Core()
    one, two = Talker(core), Talker(core)
    handle = one.submit(unique=b"u")
    two.submit(unique=b"u")
    runner = worker(core)
    runner.grab()
    said = [
        (T.WORK_DATA, handle, b"da\0ta"),
        (T.WORK_WARNING, handle, b"careful"),
        (T.WORK_STATUS, handle, b"1", b"2"),
        (T.WORK_COMPLETE, handle, b""),
    ]
    for kind, *arguments in said:
        assert runner.say(kind, *arguments) == []  # type: ignore[arg-type]
    assert one.heard() == two.heard() == said


def test_work_fail_ends_the_job() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit()
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_FAIL, handle)
    assert client.heard() == [(T.WORK_FAIL, handle)]
    assert runner.grab() == (T.NO_JOB,)


def test_work_fail_whose_handle_ends_in_a_nul_is_understood() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit()
    runner = worker(core)
    runner.grab()
    assert runner.say(T.WORK_FAIL, handle + b"\0") == []
    assert client.heard() == [(T.WORK_FAIL, handle)]


def test_an_exception_is_told_only_to_clients_that_asked_for_exceptions() -> None:
    core = Core()
    asked, plain = Talker(core), Talker(core)
    handle = asked.submit(unique=b"u")
    plain.submit(unique=b"u")
    # The option may come after the submission.
    assert asked.say(T.OPTION_REQ, b"exceptions") == [(T.OPTION_RES, b"exceptions")]
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_EXCEPTION, handle, b"bo\0om")
    assert asked.heard() == [(T.WORK_EXCEPTION, handle, b"bo\0om")]
    assert plain.heard() == [(T.WORK_FAIL, handle)]
    assert runner.say(T.WORK_FAIL, handle)[0][:2] == (T.ERROR, b"JOB_NOT_FOUND")


def test_an_unknown_option_is_refused() -> None:
    assert Talker(Core()).say(T.OPTION_REQ, b"wings") == [
        (T.ERROR, b"UNKNOWN_OPTION", b"Server does not recognize given option")
    ]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (T.WORK_DATA, (b"x",)),
        (T.WORK_WARNING, (b"x",)),
        (T.WORK_STATUS, (b"1", b"2")),
        (T.WORK_COMPLETE, (b"x",)),
        (T.WORK_FAIL, ()),
        (T.WORK_EXCEPTION, (b"x",)),
    ],
)
def test_only_the_owner_may_report_and_exactly_once_to_the_end(kind: T, arguments: tuple[bytes, ...]) -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit()
    owner, stranger = worker(core), worker(core)
    not_found = [(T.ERROR, b"JOB_NOT_FOUND", b"Job given in work result not found")]
    assert owner.say(kind, handle, *arguments) == not_found, "it waits still"
    owner.grab()
    assert stranger.say(kind, handle, *arguments) == not_found
    assert owner.say(kind, b"H:nowhere:1", *arguments) == not_found
    assert client.heard() == []
    owner.say(T.WORK_COMPLETE, handle, b"")
    assert owner.say(kind, handle, *arguments) == not_found
    assert owner.say(T.ECHO_REQ, b"alive") == [(T.ECHO_RES, b"alive")]


def test_a_lost_worker_s_jobs_go_to_the_tail_with_their_progress_forgotten() -> None:
    core = Core()
    client = Talker(core)
    first = client.submit(data=b"1")
    second = client.submit(data=b"2")
    third = client.submit(data=b"3")
    runner = worker(core)
    runner.grab()
    runner.grab()
    runner.say(T.WORK_STATUS, first, b"5", b"10")
    client.heard()
    runner.leave()
    assert client.heard() == [], "waiting clients are told nothing"
    assert client.say(T.GET_STATUS, first) == [(T.STATUS_RES, first, b"1", b"0", b"0", b"0")]
    assert Talker(core).ask("show jobs").splitlines()[0] == f"{first.decode()}\t1\t0\t0"
    other = worker(core)
    assert [other.grab()[1] for _ in range(3)] == [third, first, second]


def test_a_job_handed_back_keeps_its_priority() -> None:
    core = Core()
    client = Talker(core)
    high = client.submit(kind=T.SUBMIT_JOB_HIGH)
    runner = worker(core)
    runner.grab()
    client.submit()
    runner.leave()
    assert worker(core).grab()[1] == high


def test_a_job_handed_back_wakes_sleeping_workers() -> None:
    core = Core()
    Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    runner, sleeper = worker(core), worker(core)
    runner.grab()
    sleeper.say(T.PRE_SLEEP)
    runner.leave()
    assert sleeper.heard() == [(T.NOOP,)]


def test_after_job_retries_runs_the_clients_get_work_fail() -> None:
    core = Core(job_retries=2)
    client = Talker(core)
    handle = client.submit(unique=b"u")
    for _ in range(2):
        assert client.heard() == []
        runner = worker(core)
        assert runner.grab()[1] == handle
        runner.leave()
    assert client.heard() == [(T.WORK_FAIL, handle)]
    assert worker(core).grab() == (T.NO_JOB,)
    assert client.submit(unique=b"u") != handle


def test_a_worker_that_is_its_own_client_leaves_nothing_behind() -> None:
    core = Core()
    both = worker(core)
    handle = both.submit()
    assert both.grab()[1] == handle
    both.leave()
    assert core.ledger.jobs == {}
    assert core.peers == {}


def test_a_client_id_is_shown_to_administrators() -> None:
    core = Core()
    runner = worker(core)
    assert runner.say(T.SET_CLIENT_ID, b"me-1") == []
    assert "7 127.0.0.1 me-1 : f\n" in Talker(core).ask("workers")


@pytest.mark.parametrize("name", [b"", b"two words", b"line\nend", b"x" * 128])
def test_a_client_id_that_breaks_the_list_is_refused(name: bytes) -> None:
    ((kind, code, _),) = Talker(Core()).say(T.SET_CLIENT_ID, name)
    assert (kind, code) == (T.ERROR, b"INVALID_ARGUMENT")
