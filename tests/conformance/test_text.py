"""The text protocol on the same port."""

from __future__ import annotations

import pytest

from gearpool.protocol import admin
from gearpool.protocol.admin import Command, FunctionRow, JobRow, PriorityRow
from tests.conformance.conftest import Server
from tests.conformance.wire import T, ask_line, ask_text

# Replies that are the same, byte for byte, from both servers in any state.
LINES = [
    b"",
    b"foo",
    b"foo bar baz",
    b"show",
    b"show foo",
    b"cancel",
    b"cancel job",
    b"cancel job H:nowhere:1",
    b"create",
    b"create function",
    b"create function f",
    b"create function two words",
    b"create function tab\tbed",
    b"drop function two words",
    b"drop function tab\tbed",
    b"drop",
    b"drop function",
    b"drop function nobody",
    b"maxqueue",
    b"maxqueue f",
    b"maxqueue f 1",
    b"maxqueue f 1 2 3",
    b"verbose",
    b"STATUS",
    b"shutdown",
    b"one two three four five six",
]
ANSWERS = [
    b"ERR UNKNOWN_COMMAND Unknown+server+command\r\n",
    b"ERR UNKNOWN_COMMAND Unknown+server+commandfoo\r\n",
    b"ERR UNKNOWN_COMMAND Unknown+server+commandfoo\r\n",
    b"ERR UNKNOWN_COMMAND Unknown+server+commandshow\r\n",
    b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n",
    b"ERR UNKNOWN_COMMAND Unknown+server+commandcancel\r\n",
    b"ERR UNKNOWN_COMMAND Unknown+server+commandcancel\r\n",
    b"ERR UNKNOWN_JOB\r\n",
    b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+create\r\n",
    b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+create\r\n",
    b"OK\r\n",
    b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+create\r\n",
    b"OK\r\n",
    b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+drop\r\n",
    b"ERR function not found\r\n",
    b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+drop\r\n",
    b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+drop\r\n",
    b"ERR function not found\r\n",
    b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+maxqueue\r\n",
    b"OK\r\n",
    b"OK\r\n",
    b"OK\r\n",
    b"OK ERROR\n",
    b".\n",
    b"ERR UNKNOWN_COMMAND Unknown+server+commandshutdown\r\n",
    b"",
]


@pytest.mark.parametrize(("line", "answer"), list(zip(LINES, ANSWERS, strict=True)))
def test_each_text_command_gets_exactly_this_reply(server: Server, line: bytes, answer: bytes) -> None:
    assert ask_line(server.port, line) == answer


def test_status_and_prioritystatus_report_the_same_counts(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    for number, kind in enumerate([T.SUBMIT_JOB_HIGH, T.SUBMIT_JOB, T.SUBMIT_JOB, T.SUBMIT_JOB_LOW]):
        client.submit(b"f", b"%d" % number, b"", kind)
    worker.grab()
    assert admin.parse_status(ask_text(server.port, Command.STATUS)) == [FunctionRow("f", 4, 1, 1)]
    assert admin.parse_priority_status(ask_text(server.port, Command.PRIORITY_STATUS)) == [PriorityRow("f", 0, 2, 1, 1)]


def test_a_function_registered_twice_on_one_connection_counts_once_in_ours_only(server: Server) -> None:
    server.connect().register(b"f", b"f")
    (row,) = admin.parse_status(ask_text(server.port, Command.STATUS))
    assert row.workers == (1 if server.ours else 2)


def test_workers_lists_every_connection_with_its_id_and_functions(server: Server) -> None:
    worker = server.connect().register(b"f", b"g")
    worker.send_packet(T.SET_CLIENT_ID, b"me-1")
    idle = server.connect()
    worker.sync()
    idle.sync()
    rows = admin.parse_workers(ask_text(server.port, Command.WORKERS))
    assert len(rows) == 3, "and the one that asks"
    assert {row.address for row in rows} == {"127.0.0.1"}
    assert [sorted(row.functions) for row in rows if row.functions] == [["f", "g"]]
    assert [row.id for row in rows if row.functions] == ["me-1"]
    assert [row.id for row in rows if not row.functions] == ["-", "-"]


def test_show_jobs_lists_retries_and_background(server: Server) -> None:
    client = server.connect()
    one = client.submit(b"f", b"u").decode()
    two = client.submit(b"f", b"v", b"", T.SUBMIT_JOB_BG).decode()
    rows = admin.parse_jobs(ask_text(server.port, Command.SHOW_JOBS))
    assert sorted(rows) == sorted(
        [JobRow(one, 0, ignored=False, background=False), JobRow(two, 0, ignored=False, background=True)]
    )
    assert sorted(admin.parse_uniques(ask_text(server.port, Command.SHOW_UNIQUE_JOBS))) == ["u", "v"]


def test_a_cancelled_waiting_job_is_not_handed_out(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
    assert ask_text(server.port, Command.CANCEL_JOB, handle) == b"OK\r\n"
    assert worker.grab() == (T.NO_JOB,)
    if server.ours:
        # In gearmand's counts it lingers.
        assert admin.parse_status(ask_text(server.port, Command.STATUS)) == [FunctionRow("f", 0, 0, 1)]


def test_the_client_of_a_cancelled_running_job_gets_work_fail(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    assert ask_text(server.port, Command.CANCEL_JOB, handle) == b"OK\r\n"
    assert client.receive()[:2] == (T.WORK_FAIL, handle)
    worker.send_packet(T.WORK_COMPLETE, handle, b"late")
    assert worker.sync() == []
    # gearmand sends the result as well.
    assert client.sync() == ([] if server.ours else [(T.WORK_COMPLETE, handle, b"late")])


def test_a_function_in_use_is_not_dropped(server: Server) -> None:
    server.connect().register(b"f")
    in_use = b"ERR there are still connected workers or executing clients\r\n"
    assert ask_text(server.port, Command.DROP_FUNCTION, b"f") == in_use


def test_created_functions_are_listed_and_dropped_ones_are_not(server: Server) -> None:
    ask_text(server.port, Command.CREATE_FUNCTION, b"f")
    assert admin.parse_status(ask_text(server.port, Command.STATUS)) == [FunctionRow("f", 0, 0, 0)]
    assert ask_text(server.port, Command.DROP_FUNCTION, b"f") == b"OK\r\n"
    assert admin.parse_status(ask_text(server.port, Command.STATUS)) == []


def test_the_queue_limit_counts_running_jobs_and_allows_joining_one(server: Server) -> None:
    client, worker = server.connect(), server.connect().register(b"f")
    assert ask_text(server.port, Command.MAXQUEUE, b"f", b"2") == b"OK\r\n"
    full = (T.ERROR, b"QUEUE_ERROR", b"Job queue is full")
    handle = client.submit(b"f", b"1")
    worker.grab()
    client.submit(b"f", b"2")
    for kind in (T.SUBMIT_JOB, T.SUBMIT_JOB_HIGH, T.SUBMIT_JOB_LOW_BG):
        assert client.ask(kind, b"f", b"3", b"") == full
    assert client.submit(b"f", b"1") == handle
    assert ask_text(server.port, Command.MAXQUEUE, b"f") == b"OK\r\n"
    client.submit(b"f", b"3")


def test_each_priority_has_its_own_queue_limit(server: Server) -> None:
    client = server.connect()
    ask_text(server.port, Command.CREATE_FUNCTION, b"f")
    ask_text(server.port, Command.MAXQUEUE, b"f", b"2", b"1", b"3")
    client.submit(b"f", b"1")
    assert client.ask(T.SUBMIT_JOB, b"f", b"2", b"")[1] == b"QUEUE_ERROR"
    client.submit(b"f", b"2", b"", T.SUBMIT_JOB_HIGH)
    assert client.ask(T.SUBMIT_JOB_HIGH, b"f", b"3", b"")[1] == b"QUEUE_ERROR"
    client.submit(b"f", b"3", b"", T.SUBMIT_JOB_LOW)


def test_the_version_is_one_word(server: Server) -> None:
    version = admin.parse_ok(ask_text(server.port, Command.VERSION))
    assert version.startswith("gearpool-") if server.ours else version[0].isdigit()
    assert int(admin.parse_ok(ask_text(server.port, Command.GETPID))) > 0


@pytest.mark.parametrize("name", [b"dev\tfoo", b"two words", b" lead", b"trail ", b"\x1b[31mred", b"\xff"])
def test_functions_with_unusual_names_are_served_and_listed_unchanged(server: Server, name: bytes) -> None:
    with server.connect() as client, server.connect().register(name) as worker:
        handle = client.submit(name, b"u", b"data")
        assert worker.grab() == (T.JOB_ASSIGN_UNIQ, handle, name, b"u", b"data")
        worker.send_packet(T.WORK_COMPLETE, handle, b"done")
        assert client.receive() == (T.WORK_COMPLETE, handle, b"done")
        worker.sync()
        assert ask_text(server.port, Command.STATUS) == name + b"\t0\t0\t1\n.\n"
        assert ask_text(server.port, Command.PRIORITY_STATUS) == name + b"\t0\t0\t0\t1\n.\n"
        assert b" : " + name + b"\n" in ask_text(server.port, Command.WORKERS)
        (row,) = admin.parse_status(ask_text(server.port, Command.STATUS))
        assert row.function.encode("utf-8", "surrogateescape") == name
