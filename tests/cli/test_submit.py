"""`gearpool submit` as a shell runs it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gearpool.cli import waiting
from gearpool.client import Client
from gearpool.testing import job_server, working
from tests.cli.commands import gearpool
from tests.cli.terminals import COLOUR, at_terminal
from tests.client.workers import Assigned, ExplodeError, FailError, ThreadWorker
from tests.processes import free_port


def stream(job: Assigned) -> bytes:
    job.part(b"one\n")
    job.status(1, 2)
    job.warn(b"careful")
    job.part(b"two\n")
    return b"end"


def fail(job: Assigned) -> bytes:
    raise FailError


def fail_odd(job: Assigned) -> bytes:
    if int(job.data) % 2:
        raise FailError
    return job.data


def explode(job: Assigned) -> bytes:
    raise ExplodeError(b"the reason")


LOOKED = threading.Event()


def patient(job: Assigned) -> bytes:
    LOOKED.wait(20)
    return job.data


def warn(job: Assigned) -> bytes:
    job.warn(b"careful \x1b[2J")
    return b""


def long_exception(job: Assigned) -> bytes:
    raise ExplodeError(b"\x1b[2J" + b"x" * 300)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server with a worker of all the functions above. (The client's own tests run against gearmand too.)"""
    functions = {
        "reverse": lambda job: job.data[::-1],
        "echo": lambda job: job.data,
        "stream": stream,
        "fail": fail,
        "odd": fail_odd,
        "explode": explode,
        "patient": patient,
        "warn": warn,
        "long": long_exception,
    }
    with job_server() as server:
        worker = ThreadWorker(server.address, functions)
        yield server.address
        worker.stop()


@pytest.fixture
def at(address: str) -> list[str]:
    return ["-s", address]


def test_the_result_is_printed_byte_for_byte(at: list[str]) -> None:
    assert gearpool("submit", *at, "reverse", "hello").out == b"olleh"
    assert gearpool("submit", *at, "echo", b"\xff\xfe").out == b"\xff\xfe"


def test_a_function_name_that_is_no_text_passes_unharmed() -> None:
    with job_server() as server, working(server) as worker:
        worker.add("\udcff\udcfe", lambda arg: arg[::-1])
        assert gearpool("submit", "-s", server.address, b"\xff\xfe", b"a\xe9").out == b"\xe9a"
        assert b"\xff\xfe" in gearpool("queues", "-s", server.address).out
        assert b"\xff\xfe" in gearpool("admin", "workers", "-s", server.address).out
        looked = json.loads(gearpool("queues", "-s", server.address, "--json").text)
        assert [row["function"] for row in looked["functions"]] == ["\udcff\udcfe"]


def test_several_payloads_are_several_jobs(at: list[str]) -> None:
    assert gearpool("submit", *at, "reverse", "ab", "cd").out == b"badc"


def test_the_payload_comes_from_standard_input(at: list[str]) -> None:
    assert gearpool("submit", *at, "reverse", "-", data=b"a\0b").out == b"b\0a"
    assert gearpool("submit", *at, "reverse", data=b"piped").out == b"depip"


def test_without_any_input_the_payload_is_empty(at: list[str]) -> None:
    assert gearpool("submit", *at, "echo").out == b""


def test_streamed_parts_come_before_the_result_and_warnings_go_to_standard_error(at: list[str]) -> None:
    done = gearpool("submit", *at, "stream", "x")
    assert done.out == b"one\ntwo\nend"
    assert done.err == "careful\n"


def test_a_failed_job_exits_with_1(at: list[str]) -> None:
    done = gearpool("submit", *at, "fail", "x", code=1)
    assert "failed; the worker's log says why" in done.err
    assert done.out == b""


def test_an_exceptions_payload_is_shown(at: list[str]) -> None:
    assert "the reason" in gearpool("submit", *at, "explode", "x", code=1).err


def test_a_job_that_does_not_end_exits_with_75(at: list[str]) -> None:
    assert "did not end in time" in gearpool("submit", *at, "-t", "2s", "nobody", "x", code=75).err


@pytest.mark.parametrize("words", [["nobody", "x"], ["--lines", "nobody"], ["nobody", "x", "--json"]])
def test_a_job_that_nobody_serves_is_told_of_while_it_waits(
    at: list[str], address: str, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(waiting, "SILENCE_S", 0.05)
    done = gearpool("submit", *at, "-t", "3s", *words, data=b"line\n", code=75)
    assert f"no worker serves nobody on {address}: waiting for 3.0s at most" in done.err


def test_a_job_that_only_takes_long_is_waited_for_in_silence(
    at: list[str], monkeypatch: pytest.MonkeyPatch, looked: threading.Event
) -> None:
    """The worker answers when it has been looked whether there is one."""
    monkeypatch.setattr(waiting, "SILENCE_S", 0.0)
    assert gearpool("submit", *at, "patient", "x").err == ""


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when it was asked who serves a function."""
    asked = waiting.unserved

    def and_tell(client: Client, function: str) -> list[str]:
        found = asked(client, function)
        LOOKED.set()
        return found

    LOOKED.clear()
    monkeypatch.setattr(waiting, "unserved", and_tell)
    return LOOKED


@pytest.mark.parametrize("send", [Assigned.part, Assigned.warn], ids=["data", "warnings"])
def test_a_worker_that_sends_without_end_does_not_outlast_the_time_limit(
    send: Callable[[Assigned, bytes], None],
) -> None:
    def endless(job: Assigned) -> bytes:
        while True:
            send(job, b"more")

    with job_server() as server:
        worker = ThreadWorker(server.address, {"endless": endless})
        done = gearpool("submit", "-s", server.address, "-t", "500ms", "endless", "x", code=75)
        worker.stop()
    assert "did not end in time" in done.err


def test_a_worker_drives_no_terminal_with_its_warnings_and_reasons(address: str) -> None:
    for function in ("warn", "long"):
        with at_terminal("submit", "-s", address, function, "x") as terminal:
            terminal.wait()
        assert b"\x1b[2J" not in terminal.seen
        assert rb"\x1b[2J" in terminal.seen
    # A pipe gets the bytes.
    assert "\x1b[2J" in gearpool("submit", "-s", address, "warn", "x").err


def test_no_server_exits_with_69() -> None:
    done = gearpool("submit", "-s", f"127.0.0.1:{free_port()}", "reverse", "x", code=69)
    assert "refused" in done.err


def test_a_background_jobs_handle_is_understood_by_the_other_commands(at: list[str], address: str) -> None:
    handle = gearpool("submit", *at, "-b", "nobody", "x").text.strip()
    assert handle.startswith(f"{address}/H:")
    assert gearpool("job", handle).text == f"{handle}  waiting\n"
    assert gearpool("result", handle, "--json").text.startswith('{"handle": "H:')
    assert gearpool("admin", "cancel", *at, handle).text == f"{handle}  cancelled\n"


@pytest.mark.parametrize("option", [["--in", "1h"], ["--at", "2130-01-31T08:00"], ["--at", "@4900000000"]])
def test_a_job_for_later_is_a_background_job(at: list[str], option: list[str]) -> None:
    handle = gearpool("submit", *at, *option, "reverse", "x").text.strip()
    assert gearpool("job", handle).text.endswith("waiting\n")


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_priorities_reach_the_server(at: list[str], address: str, priority: str) -> None:
    function = f"waits-{priority}"
    gearpool("submit", *at, "-b", "-p", priority, function, "x")
    with Client(address) as client:
        rows = client.admin.priority_status()[address]
    (row,) = [row for row in rows if row.function == function]
    assert {name: getattr(row, name) for name in ("high", "normal", "low")} == {
        "high": 0,
        "normal": 0,
        "low": 0,
        priority: 1,
    }


def test_a_unique_id_makes_two_jobs_one(at: list[str]) -> None:
    first = gearpool("submit", *at, "-b", "-u", "order-17", "nobody", "x").text
    assert gearpool("submit", *at, "-b", "-u", "order-17", "nobody", "x").text == first
    assert gearpool("job", *at, "-u", "order-17").text == "order-17  waiting\n"


def test_a_line_is_a_job_and_results_keep_the_order(at: list[str]) -> None:
    done = gearpool("submit", *at, "--lines", "reverse", data=b"ab\ncd\r\n\nlast")
    assert done.out == b"ba\ndc\n\ntsal\n"
    kept = gearpool("submit", *at, "--lines", "--keep-ends", "echo", "-", data=b"ab\ncd\n")
    assert kept.out == b"ab\ncd\n"


def test_thousands_of_lines_are_pipelined(at: list[str]) -> None:
    lines = b"".join(b"%d\n" % number for number in range(5000))
    assert gearpool("submit", *at, "--lines", "-w", "200", "echo", data=lines).out == lines


def test_lines_whose_jobs_fail_are_named_and_the_others_go_on(at: list[str]) -> None:
    done = gearpool("submit", *at, "--lines", "odd", data=b"0\n1\n2\n", code=1)
    assert done.out == b"0\n2\n"
    assert "line 2: " in done.err


def test_lines_in_the_background_print_their_handles(at: list[str]) -> None:
    handles = gearpool("submit", *at, "--lines", "-b", "many", data=b"1\n2\n3\n").text.split()
    assert len(set(handles)) == 3


def test_json_has_all_that_is_known(at: list[str], address: str) -> None:
    document = json.loads(gearpool("submit", *at, "--json", "stream", "x").text)
    assert document["outcome"] == "complete"
    assert document["result"] == "end"
    assert document["data"] == "one\ntwo\n"
    assert document["warnings"] == ["careful"]
    assert document["server"] == address
    assert document["handle"].startswith("H:")
    binary = json.loads(gearpool("submit", *at, "--json", "echo", b"\xff").text)
    assert binary["result_base64"] == "/w=="
    failed = json.loads(gearpool("submit", *at, "--json", "explode", "x", code=1).text)
    assert (failed["outcome"], failed["exception"]) == ("exception", "the reason")
    lines = gearpool("submit", *at, "--json", "--lines", "odd", data=b"0\n1\n", code=1).text.splitlines()
    assert [(json.loads(line)["line"], json.loads(line)["outcome"]) for line in lines] == [
        (1, "complete"),
        (2, "failed"),
    ]
    job = json.loads(gearpool("submit", *at, "--json", "-b", "nobody", "x").text)
    assert set(job) == {"server", "handle", "function", "unique"}


def test_prefix_and_verbose(at: list[str]) -> None:
    done = gearpool("submit", *at, "--prefix", "-v", "stream", "x")
    assert done.out == b"stream: one\nstream: two\nstream: end"
    assert "/H:" in done.err


def test_one_payload_to_several_functions(at: list[str]) -> None:
    assert gearpool("submit", *at, "reverse", "-f", "echo", "ab").out == b"baab"


def test_a_reducer_can_be_named(at: list[str]) -> None:
    assert gearpool("submit", *at, "--reducer", "total", "reverse", "ab").out == b"ba"


@pytest.mark.parametrize(
    "arguments",
    [
        ["reverse", "--in", "5"],
        ["reverse", "--at", "tomorrow"],
        ["reverse", "-p", "urgent"],
        ["reverse", "--lines", "-u", "x"],
        ["reverse", "--lines", "data"],
        ["reverse", "-t", "5"],
        ["reverse", "-w", "0"],
        [],
    ],
)
def test_wrong_usage_exits_with_64(arguments: list[str]) -> None:
    gearpool("submit", *arguments, code=64)


@pytest.mark.parametrize(
    "arguments", [["a\nb", "x"], ["reverse", "-u", "x" * 64, "d"], ["reverse", "--retry", "2", "d"]]
)
def test_what_cannot_be_sent_is_said(at: list[str], arguments: list[str]) -> None:
    gearpool("submit", *at, *arguments, code=64)


def test_servers_come_from_the_environment_in_order(address: str) -> None:
    dead = f"127.0.0.1:{free_port()}"
    both = {"GEARPOOL_SERVERS": address, "GEARMAN_SERVERS": dead}
    assert gearpool("submit", "reverse", "ab", env=both).out == b"ba"
    assert gearpool("submit", "reverse", "ab", env={"GEARMAN_SERVERS": address}).out == b"ba"
    gearpool("submit", "-s", dead, "reverse", "ab", env=both, code=69)


def test_on_a_terminal_progress_is_shown_and_the_line_is_ended(address: str) -> None:
    with at_terminal("submit", "-s", address, "stream", "x") as terminal:
        assert terminal.wait() == 0
    assert b"1/2" in terminal.seen
    assert b"end\r\n" in terminal.seen
    assert COLOUR.search(terminal.seen)


@pytest.mark.parametrize("words", [["stream", "x"], ["--lines", "stream"]])
def test_on_a_terminal_that_cannot_be_drawn_on_there_is_no_progress(address: str, words: list[str]) -> None:
    with at_terminal("submit", "-s", address, *words, TERM="dumb") as terminal:
        if "--lines" in words:
            terminal.type(b"x\n\x04")
        assert terminal.wait() == 0
    said = terminal.seen.decode().replace("\r", "").split("\n")
    assert [line for line in said if line not in ("x", "^D\b\bx")] in (
        ["careful", "one", "two", "end", ""], ["one", "two", "careful", "end", ""], ["one", "careful", "two", "end", ""],
        ["gearpool: line 1: careful", "one", "two", "end", ""],
    )  # fmt: skip
    assert "\x1b" not in terminal.seen.decode()


def test_no_colour_is_shown_to_those_who_want_none(address: str) -> None:
    with at_terminal("submit", "-s", address, "stream", "x", NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
    assert b"1/2" in terminal.seen
    assert not COLOUR.search(terminal.seen)


def test_on_a_terminal_lines_are_counted(address: str, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("ab\n" * 3)
    program = (
        "import os, sys; os.dup2(os.open(sys.argv.pop(), os.O_RDONLY), 0);"
        "from gearpool.cli.main import main; sys.exit(main())"
    )
    with at_terminal(
        "submit", "-s", address, "--lines", "reverse", str(tmp_path / "lines"), program=program
    ) as terminal:
        assert terminal.wait() == 0
    assert b"3/?" in terminal.seen
    assert terminal.seen.count(b"ba\r\n") == 3


def test_help_has_examples() -> None:
    done = gearpool("submit", "--help")
    assert "examples:" in done.text
    assert "exit codes:" in done.text
