from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.dead_letter_file import Letter, append, read
from gearpool.testing.servers import ThreadedJobServer, job_server
from tests.cli.commands import gearpool


def letter(number: int, function: str = "f") -> Letter:
    return Letter(
        payload=b"payload %d" % number, function=function, unique="", handle=f"H:x:{number}", server="s:1", attempts=5,
        error="ValueError: bad\nmore", traceback="the traceback", time=1_000_000.0 + number,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dead.jsonl"
    for number in range(3):
        append(path, letter(number, "g" if number == 2 else "f"))
    return path


def left(path: Path) -> list[str]:
    return [each.handle for _, each in read(path) if isinstance(each, Letter)]


def test_list_has_a_line_a_letter(path: Path) -> None:
    lines = gearpool("dead", "list", str(path)).text.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(letter(0).id)
    assert lines[0].endswith("f  attempts 5  ValueError: bad")
    assert [json.loads(line)["handle"] for line in gearpool("dead", "list", str(path), "--json").text.splitlines()] == [
        "H:x:0", "H:x:1", "H:x:2",
    ]  # fmt: skip


def test_show_has_everything(path: Path) -> None:
    text = gearpool("dead", "show", str(path), letter(1).id).text
    assert "b'payload 1' (9 B)" in text
    assert "the traceback" in text
    assert "H:x:0" not in text


def test_dates_are_readable_and_have_their_zone(path: Path) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(letter(0).time))
    assert when.startswith("1970-01-1")
    assert when in gearpool("dead", "list", str(path)).text
    assert f"time       {when}" in gearpool("dead", "show", str(path), letter(0).id).text


@pytest.mark.parametrize("action", ["list", "show", "drop", "retry"])
@pytest.mark.parametrize("content", [b"servers: x\nfunctions: y\n" * 100, b"\x7fELF\0\1\x1b[2J\n\xff", b'{"a": 1}\n'])
def test_a_file_of_another_kind_is_an_error_and_stays_as_it_is(tmp_path: Path, action: str, content: bytes) -> None:
    file = tmp_path / "workers.yaml"
    file.write_bytes(content)
    done = gearpool("dead", action, str(file), "--all", "-s", "127.0.0.1:1", code=1)
    assert f"{file} is not a dead-letter file" in done.err
    assert len(done.err.splitlines()) <= 7, "not a line for each line"
    assert "\x1b" not in done.err
    assert file.read_bytes() == content


def test_an_empty_file_has_no_letters(tmp_path: Path) -> None:
    (tmp_path / "dead.jsonl").touch()
    assert gearpool("dead", "list", str(tmp_path / "dead.jsonl")).out == b""


def test_drop_takes_only_what_is_named(path: Path) -> None:
    gearpool("dead", "drop", str(path), letter(1).id)
    assert left(path) == ["H:x:0", "H:x:2"]
    gearpool("dead", "drop", str(path), "--function", "f")
    assert left(path) == ["H:x:2"]


def test_nothing_is_dropped_or_submitted_without_a_word_of_which(path: Path) -> None:
    for action in ("drop", "retry"):
        gearpool("dead", action, str(path), code=64)
    assert len(left(path)) == 3


def test_a_missing_dead_letter_is_reported(path: Path) -> None:
    assert "there is no letter 0123" in gearpool("dead", "drop", str(path), "0123", code=1).err


def test_bad_lines_are_said_and_kept(path: Path) -> None:
    with path.open("a") as file:
        file.write("not json\n")
    done = gearpool("dead", "drop", str(path), "--all")
    assert f"{path}:4: not a dead letter" in done.err
    assert path.read_text() == "not json\n"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "No such file" in gearpool("dead", "list", str(tmp_path / "none"), code=1).err


@pytest.fixture
def server() -> Iterator[ThreadedJobServer]:
    with job_server() as running:
        yield running


def test_retry_submits_and_drops_once_the_server_has_the_job(path: Path, server: ThreadedJobServer) -> None:
    done = gearpool("dead", "retry", str(path), "--function", "f", "--servers", server.address)
    assert len(done.text.splitlines()) == 2
    assert left(path) == ["H:x:2"]
    rows = json.loads(gearpool("queues", "--json", "--servers", server.address).text)["functions"]
    assert [(row["function"], row["queued"]) for row in rows] == [("f", 2)]


def test_without_a_server_no_letter_is_dropped(path: Path) -> None:
    gearpool("dead", "retry", str(path), "--all", "--servers", "127.0.0.1:1", code=69)
    assert len(left(path)) == 3


@pytest.mark.parametrize("number", ["-99999999999999", "1e12"])
def test_a_dead_letter_with_an_impossible_time_is_still_listed(path: Path, number: str) -> None:
    with path.open("a") as out:
        out.write(f'{{"payload": "YQ==", "function": "odd", "time": {number}}}\n')
    assert "  odd  " in gearpool("dead", "list", str(path)).text


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[1]", "expected a JSON object"),
        ('{"payload": "YQ=="}', "without function"),
        ('{"payload": "YQ==", "function": "f", "time": NaN}', "the time is nan"),
        ('{"payload": "YQ==", "function": "f", "time": 1e999}', "the time is inf"),
        ('{"payload": "YQ==", "function": "f", "attempts": 1e999}', "cannot convert"),
    ],
)
def test_why_a_line_is_no_letter_is_said(path: Path, line: str, why: str) -> None:
    with path.open("a") as out:
        out.write(line + "\n")
    done = gearpool("dead", "list", str(path), "--json")
    assert f"{path}:4: not a dead letter: {why}" in done.err
    assert len(done.text.splitlines()) == 3


def test_a_dead_letter_cannot_send_terminal_control_codes(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    append(path, dataclasses.replace(letter(0, "f\x1b[31m"), error="\x1b]0;x\x07", traceback="one\n\x1b[2Jtwo"))
    for action in ("list", "show"):
        assert "\x1b" not in gearpool("dead", action, str(path)).text


def test_many_dead_letters_are_submitted_without_rewriting_the_file_for_each(
    tmp_path: Path, server: ThreadedJobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dead.jsonl"
    for number in range(200):
        append(path, letter(number))
    rewritten: list[Path] = []
    really = Path.replace

    def replace(self: Path, target: Path) -> Path:
        rewritten.append(self)
        return really(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    gearpool("dead", "retry", str(path), "--all", "--servers", server.address)
    assert len(left(path)) == 0
    assert len(rewritten) < 100  # one a second at most, and one at the end


def test_letters_that_the_server_has_are_dropped_even_if_a_later_one_is_refused(
    path: Path, server: ThreadedJobServer
) -> None:
    append(path, letter(3, "no such name: \n"))
    gearpool("dead", "retry", str(path), "--all", "--servers", server.address, code=64)
    assert left(path) == ["H:x:3"]
