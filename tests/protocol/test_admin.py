"""The text protocol: what gearmand 1.1.20 sends is read, what we send is what it would."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool.errors import LocalProtocolError, RemoteProtocolError, ServerError
from gearpool.protocol import admin
from gearpool.protocol.admin import Command, FunctionRow, JobRow, PriorityRow, RefusedError, Request, WorkerRow


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"status", Request(Command.STATUS)),
        (b"status\r\n", Request(Command.STATUS)),
        (b"STATUS x", Request(Command.STATUS)),
        (b"prioritystatus", Request(Command.PRIORITY_STATUS)),
        (b"workers", Request(Command.WORKERS)),
        (b"show jobs", Request(Command.SHOW_JOBS)),
        (b"show unique jobs", Request(Command.SHOW_UNIQUE_JOBS)),
        (b"cancel job H:x:1", Request(Command.CANCEL_JOB, (b"H:x:1",))),
        (b"create function f", Request(Command.CREATE_FUNCTION, (b"f",))),
        (b"drop function f", Request(Command.DROP_FUNCTION, (b"f",))),
        (b"maxqueue f", Request(Command.MAXQUEUE, (b"f",))),
        (b"maxqueue f 1 2 3", Request(Command.MAXQUEUE, (b"f", b"1", b"2", b"3"))),
        (b"getpid", Request(Command.GETPID)),
        (b"verbose", Request(Command.VERBOSE)),
        (b"version", Request(Command.VERSION)),
    ],
)
def test_a_command_is_understood(line: bytes, expected: Request) -> None:
    assert admin.parse_request(line) == expected


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"", b"ERR UNKNOWN_COMMAND Unknown+server+command\r\n"),
        (b"foo bar baz", b"ERR UNKNOWN_COMMAND Unknown+server+commandfoo\r\n"),
        (b"shutdown", b"ERR UNKNOWN_COMMAND Unknown+server+commandshutdown\r\n"),
        (b"shutdown graceful", b"ERR UNKNOWN_COMMAND Unknown+server+commandshutdown\r\n"),
        (b"show", b"ERR UNKNOWN_COMMAND Unknown+server+commandshow\r\n"),
        (b"show foo", b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n"),
        (b"show unique", b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n"),
        (b"cancel", b"ERR UNKNOWN_COMMAND Unknown+server+commandcancel\r\n"),
        (b"cancel job", b"ERR UNKNOWN_COMMAND Unknown+server+commandcancel\r\n"),
        (b"create", b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+create\r\n"),
        (b"drop function", b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+drop\r\n"),
        (b"maxqueue", b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+maxqueue\r\n"),
        (b"one two three four five six", None),
    ],
)
def test_what_is_no_command_has_gearmand_s_answer(line: bytes, reply: bytes | None) -> None:
    with pytest.raises(RefusedError) as caught:
        admin.parse_request(line)
    assert caught.value.reply == reply


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ((b"f",), (0, 0, 0)),
        ((b"f", b"5"), (5, 5, 5)),
        ((b"f", b"5", b"6"), (5, 5, 5)),
        ((b"f", b"1", b"2", b"3"), (1, 2, 3)),
        ((b"f", b"-1"), (0, 0, 0)),
        ((b"f", b"many"), (0, 0, 0)),
    ],
)
def test_queue_limits_are_one_for_all_or_one_each(words: tuple[bytes, ...], limits: tuple[int, int, int]) -> None:
    assert admin.queue_limits(words) == limits


@pytest.mark.parametrize("command", list(Command))
def test_each_request_we_write_is_read_as_itself(command: Command) -> None:
    arguments = (b"x",) if command.value.split()[0] in ("cancel", "create", "drop", "maxqueue") else ()
    line = admin.request(command, *arguments)
    assert line.endswith(b"\r\n"), "a bare LF cuts off a letter of create function's argument"
    assert admin.parse_request(line) == Request(command, arguments)


@pytest.mark.parametrize("argument", [b"", b"two words", b"trail\t", b"line\nend", b" lead"])
def test_an_argument_that_is_not_one_word_is_not_sent(argument: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        admin.request(Command.CREATE_FUNCTION, argument)


def test_more_words_than_gearmand_survives_are_not_sent() -> None:
    with pytest.raises(LocalProtocolError):
        admin.request(Command.MAXQUEUE, b"f", b"1", b"2", b"3", b"4")


# Replies as gearmand 1.1.20 sent them.


def test_gearmand_s_status_is_read() -> None:
    assert admin.parse_status(b"e\t4\t1\t2\nf\t3\t0\t0\n.\n") == [FunctionRow("e", 4, 1, 2), FunctionRow("f", 3, 0, 0)]
    assert admin.parse_status(b".\n") == []


def test_gearmand_s_prioritystatus_is_read() -> None:
    assert admin.parse_priority_status(b"f\t1\t3\t2\t5\n.\n") == [PriorityRow("f", 1, 3, 2, 5)]


def test_gearmand_s_workers_are_read() -> None:
    reply = b"22 127.0.0.1 - :\n20 127.0.0.1 me : g f f\n21 ::1 host:1:2 : x\n.\n"
    assert admin.parse_workers(reply) == [
        WorkerRow(22, "127.0.0.1", "-", ()),
        WorkerRow(20, "127.0.0.1", "me", ("g", "f", "f")),
        WorkerRow(21, "::1", "host:1:2", ("x",)),
    ]


def test_gearmand_s_jobs_are_read() -> None:
    assert admin.parse_jobs(b"H:vm:1\t1\t1\t0\nH:vm:9\t0\t0\t1\n.\n") == [
        JobRow("H:vm:1", 1, ignored=True, background=False),
        JobRow("H:vm:9", 0, ignored=False, background=True),
    ]
    assert admin.parse_uniques(b"\nu1\n-\n.\n") == ["", "u1", "-"]


def test_gearmand_s_single_lines_are_read() -> None:
    assert admin.parse_ok(b"OK 1.1.20+ds\n") == "1.1.20+ds"
    assert admin.parse_ok(b"OK\r\n") == ""


@pytest.mark.parametrize(
    ("reply", "code", "text"),
    [
        (b"ERR UNKNOWN_JOB\r\n", "UNKNOWN_JOB", ""),
        (b"ERR UNKNOWN_COMMAND Unknown+server+commandfoo\r\n", "UNKNOWN_COMMAND", "Unknown server commandfoo"),
        (b"ERR function not found\r\n", "ERR", "function not found"),
        (
            b"ERR there are still connected workers or executing clients\r\n",
            "ERR",
            "there are still connected workers or executing clients",
        ),
    ],
)
def test_a_refusal_is_a_server_error(reply: bytes, code: str, text: str) -> None:
    for parse in (admin.parse_ok, admin.parse_status, admin.parse_workers, admin.parse_uniques):
        with pytest.raises(ServerError) as caught:
            parse(reply)
        assert (caught.value.code, caught.value.text) == (code, text)


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n", b"", b"f\t1\n.\n", b"f\t1\t2\tx\n.\n", b"f\t1\t2\t3\n"]
)
def test_what_is_no_reply_is_a_remote_protocol_error(reply: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        admin.parse_status(reply)
    with pytest.raises(RemoteProtocolError):
        admin.parse_workers(reply)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (Command.STATUS, b".\n"),
        (Command.STATUS, b"a.\t1\t2\t3\n.\n"),
        (Command.WORKERS, b"22 127.0.0.1 - :\n.\n"),
        (Command.SHOW_UNIQUE_JOBS, b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n"),
        (Command.VERSION, b"OK 1.1.20\n"),
        (Command.CANCEL_JOB, b"ERR UNKNOWN_JOB\r\n"),
    ],
)
def test_a_reply_is_whole_at_its_last_byte(command: Command, reply: bytes) -> None:
    for cut in range(len(reply)):
        assert admin.reply_size(command, reply[:cut]) == 0
    assert admin.reply_size(command, reply) == len(reply)


def test_a_line_with_a_dot_inside_a_list_is_no_end() -> None:
    reply = b"u1\n.\nu2\n.\n"
    assert admin.reply_size(Command.SHOW_UNIQUE_JOBS, reply) == len(reply)
    assert admin.parse_uniques(reply) == ["u1", ".", "u2"]


@pytest.mark.parametrize(
    ("command", "size"), [(Command.VERSION, admin.MAX_REPLY_LINE), (Command.STATUS, admin.MAX_REPLY)]
)
def test_a_reply_without_end_is_an_error_at_its_limit(command: Command, size: int) -> None:
    assert admin.reply_size(command, b"x" * size) == 0
    with pytest.raises(RemoteProtocolError, match="has no end within"):
        admin.reply_size(command, b"x" * (size + 1))


def test_a_name_with_a_line_end_is_one_row_and_hides_no_other() -> None:
    rows = admin.parse_status(b"re\nsize\t3\t1\t2\necho\t0\t0\t1\n.\n")
    assert rows == [FunctionRow("re\nsize", 3, 1, 2), FunctionRow("echo", 0, 0, 1)]
    assert rows.odd == []


def test_an_id_or_a_function_with_a_line_end_is_one_worker_and_hides_no_other() -> None:
    workers = admin.parse_workers(b"9 ::1 a : f\n35 10.0.0.1 web1\n : x y\n36 10.0.0.2 - : re\nsize z\n37 ::1 - :\n.\n")
    assert workers == [
        WorkerRow(9, "::1", "a", ("f",)),
        WorkerRow(35, "10.0.0.1", "web1\n", ("x", "y")),
        WorkerRow(36, "10.0.0.2", "-", ("re\nsize", "z")),
        WorkerRow(37, "::1", "-", ()),
    ]


def test_lines_that_are_no_row_are_kept_apart_and_hide_no_row() -> None:
    rows = admin.parse_status(b"echo\t0\t0\t1\nodd\t1\t2\n.\n")
    assert (list(rows), rows.odd) == ([FunctionRow("echo", 0, 0, 1)], ["odd\t1\t2"])
    workers = admin.parse_workers(b"nothing\n37 ::1 - :\n.\n")
    assert (list(workers), workers.odd) == ([WorkerRow(37, "::1", "-", ())], ["nothing"])


def test_a_number_of_any_length_is_no_traceback() -> None:
    assert admin.parse_status(b"a\t1\t1\t1\nb\t" + b"9" * 5000 + b"\t1\t1\n.\n").odd
    assert admin.queue_limits((b"f", b"9" * 5000)) == (2**32 - 1,) * 3
    assert admin.queue_limits((b"f", b"0" * 5000 + b"7")) == (7, 7, 7)


_name = st.binary(min_size=1, max_size=10).filter(lambda name: not set(name) & set(b"\n\r") and name != b".")
_word = _name.filter(lambda name: len(name.split()) == 1 and name.split()[0] == name and b":" not in name)
_count = st.integers(0, 2**40)


@given(st.lists(st.tuples(_name, _count, _count, _count)))
def test_status_is_read_as_written(rows: list[tuple[bytes, int, int, int]]) -> None:
    back = admin.parse_status(b"".join(admin.format_counted(rows)))
    assert [(row.function.encode("utf-8", "surrogateescape"), *row[1:]) for row in back] == rows


@given(st.lists(st.tuples(_name, _count, _count, _count, _count)))
def test_prioritystatus_is_read_as_written(rows: list[tuple[bytes, int, int, int, int]]) -> None:
    back = admin.parse_priority_status(b"".join(admin.format_priority_status(rows)))
    assert [(row.function.encode("utf-8", "surrogateescape"), *row[1:]) for row in back] == rows


@given(st.lists(st.tuples(st.integers(0, 9999), st.just(b"::1"), _word, st.lists(_word, max_size=3))))
def test_workers_are_read_as_written(rows: list[tuple[int, bytes, bytes, list[bytes]]]) -> None:
    encode = "utf-8", "surrogateescape"
    back = admin.parse_workers(b"".join(admin.format_workers(rows)))
    assert [
        (row.fd, row.address.encode(), row.id.encode(*encode), [each.encode(*encode) for each in row.functions])
        for row in back
    ] == rows


@given(st.lists(st.tuples(_name, _count, st.booleans(), st.booleans())))
def test_jobs_are_read_as_written(rows: list[tuple[bytes, int, bool, bool]]) -> None:
    back = admin.parse_jobs(b"".join(admin.format_counted(rows)))
    assert [(row.handle.encode("utf-8", "surrogateescape"), *row[1:]) for row in back] == rows


@given(st.binary())
def test_any_request_line_is_understood_or_refused(line: bytes) -> None:
    with contextlib.suppress(RefusedError):
        admin.parse_request(line)


@given(st.sampled_from(list(Command)), st.binary())
def test_any_reply_is_read_or_is_a_typed_error(command: Command, reply: bytes) -> None:
    assert 0 <= admin.reply_size(command, reply) <= len(reply)
    parsers = (admin.parse_status, admin.parse_priority_status, admin.parse_workers, admin.parse_jobs)
    for parse in (*parsers, admin.parse_uniques, admin.parse_ok):
        with contextlib.suppress(ServerError, RemoteProtocolError):
            parse(reply)
