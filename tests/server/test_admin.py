"""What administrators are told and may do."""

from __future__ import annotations

from gearpool.server.core import Core
from tests.server.talk import T, Talker, worker


def test_status_counts_waiting_running_and_workers_by_function() -> None:
    core = Core()
    client = Talker(core)
    for _ in range(3):
        client.submit(b"f")
    client.say(T.SUBMIT_JOB_EPOCH, b"f", b"", b"99", b"")
    runner = worker(core, b"f", b"idle")
    runner.grab()
    assert Talker(core).ask("status") == "f\t4\t1\t1\nidle\t0\t0\t1\n.\n"


def test_prioritystatus_counts_waiting_jobs_by_priority() -> None:
    core = Core()
    client = Talker(core)
    for kind in (T.SUBMIT_JOB_HIGH, T.SUBMIT_JOB, T.SUBMIT_JOB, T.SUBMIT_JOB_LOW, T.SUBMIT_JOB_LOW, T.SUBMIT_JOB_LOW):
        client.submit(kind=kind)
    client.say(T.SUBMIT_JOB_EPOCH, b"f", b"", b"99", b"")
    worker(core).grab()
    assert Talker(core).ask("prioritystatus") == "f\t0\t3\t3\t1\n.\n"


def test_a_function_stays_in_the_list_when_all_is_done() -> None:
    core = Core()
    worker(core, b"f").leave()
    assert Talker(core).ask("status") == "f\t0\t0\t0\n.\n"


def test_workers_lists_every_connection() -> None:
    core = Core()
    worker(core, b"f", b"g")
    assert Talker(core, fd=9).ask("workers") == "7 127.0.0.1 - : f g\n9 127.0.0.1 - :\n.\n"


def test_show_jobs_tells_retries_and_background() -> None:
    core = Core(host="h")
    client = Talker(core)
    client.submit()
    client.submit(kind=T.SUBMIT_JOB_BG)
    runner = worker(core)
    runner.grab()
    runner.leave()
    assert Talker(core).ask("show jobs") == "H:h:1\t1\t0\t0\nH:h:2\t0\t0\t1\n.\n"


def test_a_running_job_without_a_waiting_client_is_shown_as_ignored() -> None:
    core = Core(host="h")
    client = Talker(core)
    client.submit()
    worker(core).grab()
    client.leave()
    assert Talker(core).ask("show jobs") == "H:h:1\t0\t1\t0\n.\n"


def test_show_unique_jobs_lists_unique_ids() -> None:
    core = Core()
    client = Talker(core)
    client.submit(unique=b"u")
    client.submit()
    assert Talker(core).ask("show unique jobs") == "u\n\n.\n"


def test_a_cancelled_waiting_job_is_gone_and_its_clients_know() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit(unique=b"u")
    administrator = Talker(core)
    assert administrator.ask(f"cancel job {handle.decode()}") == "OK\r\n"
    assert client.heard() == [(T.WORK_FAIL, handle)]
    assert administrator.ask("status") == "f\t0\t0\t0\n.\n"
    assert worker(core).grab() == (T.NO_JOB,)
    assert administrator.ask(f"cancel job {handle.decode()}") == "ERR UNKNOWN_JOB\r\n"
    assert client.submit(unique=b"u") != handle


def test_a_cancelled_running_job_runs_on_and_its_result_is_thrown_away() -> None:
    core = Core()
    client = Talker(core)
    handle = client.submit(unique=b"u")
    runner = worker(core)
    runner.grab()
    assert Talker(core).ask(f"cancel job {handle.decode()}") == "OK\r\n"
    assert client.heard() == [(T.WORK_FAIL, handle)]
    again = client.submit(unique=b"u")
    assert again != handle, "the unique id is free at once"
    assert runner.say(T.WORK_COMPLETE, handle, b"late") == []
    assert client.heard() == []
    assert runner.grab()[1] == again


def test_a_cancelled_running_job_is_not_handed_out_again() -> None:
    core = Core()
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    runner = worker(core)
    runner.grab()
    Talker(core).ask(f"cancel job {handle.decode()}")
    runner.leave()
    assert worker(core).grab() == (T.NO_JOB,)


def test_a_cancelled_scheduled_job_never_comes() -> None:
    core = Core()
    ((_, handle),) = Talker(core).say(T.SUBMIT_JOB_EPOCH, b"f", b"", b"10", b"")
    assert Talker(core).ask(f"cancel job {handle.decode()}") == "OK\r\n"
    core.ledger.release_due(20)
    assert worker(core).grab() == (T.NO_JOB,)
    assert core.ledger.next_due is None


def test_create_function_makes_it_appear() -> None:
    core = Core()
    assert Talker(core).ask("create function f") == "OK\r\n"
    assert Talker(core).ask("create function f") == "OK\r\n"
    assert Talker(core).ask("status") == "f\t0\t0\t0\n.\n"
    assert Talker(core).ask("create function " + "x" * 300).startswith("ERR INVALID_ARGUMENTS")


def test_drop_function_refuses_while_jobs_or_workers_are_there() -> None:
    core = Core()
    in_use = "ERR there are still connected workers or executing clients\r\n"
    administrator = Talker(core)
    assert administrator.ask("drop function f") == "ERR function not found\r\n"
    client = Talker(core)
    handle = client.submit()
    assert administrator.ask("drop function f") == in_use
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_COMPLETE, handle, b"")
    assert administrator.ask("drop function f") == in_use
    runner.leave()
    assert administrator.ask("drop function f") == "OK\r\n"
    assert administrator.ask("status") == ".\n"


def test_a_dropped_function_comes_back_with_the_next_submission() -> None:
    core = Core()
    Talker(core).ask("create function f")
    Talker(core).ask("drop function f")
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    assert worker(core).grab()[1] == handle


def test_the_server_tells_its_version_process_and_log_level() -> None:
    administrator = Talker(Core(version="gearpool-9", pid=77))
    assert administrator.ask("version") == "OK gearpool-9\n"
    assert administrator.ask("getpid") == "OK 77\n"
    assert administrator.ask("verbose") == "OK ERROR\n"


def test_shutdown_is_refused() -> None:
    assert Talker(Core()).ask("shutdown") == "ERR UNKNOWN_COMMAND Unknown+server+commandshutdown\r\n"
