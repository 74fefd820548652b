from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gearpool.dead_letter_file import Letter, append, remove
from gearpool.settings import DeadLetterSettings, FunctionSettings
from gearpool.web import letter_files
from gearpool.web.letter_files import LetterCounts, listing, paths_of
from tests.web.sites import plain_settings


def letter(number: int, function: str = "f", **changes: str) -> Letter:
    made = Letter(
        payload=b"secret", function=function, unique="", handle=f"H:{number}", server="s:1", attempts=5,
        error="ValueError: bad", traceback="trace", time=1000.0 + number,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dead.jsonl"
    for number in range(5):
        append(path, letter(number, "g" if number == 4 else "f"))
    return path


def test_the_files_are_those_of_the_configuration_each_once() -> None:
    settings = dataclasses.replace(
        plain_settings(),
        base="/etc/pool",
        functions=tuple(
            FunctionSettings(name=name, handler="a.b", dead_letter=where)
            for name, where in {
                "a": DeadLetterSettings(file="dead.jsonl"), "b": DeadLetterSettings(file="/var/dead.jsonl"),
                "c": DeadLetterSettings(file="dead.jsonl"), "d": DeadLetterSettings(function="f"), "e": None,
            }.items()
        ),
    )  # fmt: skip
    assert paths_of(settings) == ["/etc/pool/dead.jsonl", "/var/dead.jsonl"]


def test_the_newest_come_first_and_without_payloads(path: Path) -> None:
    row = listing(str(path))
    assert (row["file"], row["error"], row["size_bytes"], row["more"]) == (str(path), None, path.stat().st_size, 0)
    assert [each["handle"] for each in row["letters"]] == ["H:4", "H:3", "H:2", "H:1", "H:0"]
    assert row["letters"][0] == {
        "id": letter(4, "g").id, "function": "g", "unique": "", "handle": "H:4", "attempts": 5,
        "error": "ValueError: bad", "time": 1004.0, "traceback": "trace",
    }  # fmt: skip


def test_of_many_letters_the_others_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_files, "NEWEST", 2)
    row = listing(str(path))
    assert ([each["handle"] for each in row["letters"]], row["more"]) == (["H:4", "H:3"], 3)
    # Only the end of the file is read, from the middle of a line.
    monkeypatch.setattr(letter_files, "MAX_READ", 700)
    row = listing(str(path))
    assert ([each["handle"] for each in row["letters"]], row["more"]) == (["H:4", "H:3"], 3)


def test_a_file_that_is_missing_is_empty_and_one_that_cannot_be_read_has_an_error(tmp_path: Path) -> None:
    assert listing(str(tmp_path / "none"))["error"] is None
    assert listing(str(tmp_path / "none"))["letters"] == []
    assert listing(str(tmp_path))["error"] == "Is a directory"
    counts = LetterCounts()
    assert counts.count(str(tmp_path / "none"))["error"] is None
    assert counts.count(str(tmp_path))["error"] == "Is a directory"


def test_lines_that_are_not_letters_are_left_out(path: Path) -> None:
    with path.open("a") as out:
        out.write("garbage\n{}\n")
    assert len(listing(str(path))["letters"]) == 5
    assert LetterCounts().count(str(path))["functions"] == {"f": 4, "g": 1}


def test_counting_goes_on_where_it_stopped(path: Path) -> None:
    counts = LetterCounts()
    assert counts.count(str(path))["functions"] == {"f": 4, "g": 1}
    append(path, letter(9, "g"))
    assert counts.count(str(path))["functions"] == {"f": 4, "g": 2}
    remove(path, lambda each: each.function == "f")
    assert counts.count(str(path))["functions"] == {"g": 2}
    path.write_bytes(b"")
    assert counts.count(str(path))["functions"] == {}


def test_an_unfinished_line_is_counted_when_it_is_whole(path: Path) -> None:
    counts = LetterCounts()
    line = letter(7, "h").line()
    with path.open("ab") as out:
        out.write(line[:20])
        out.flush()
        assert "h" not in counts.count(str(path))["functions"]
        out.write(line[20:])
    assert counts.count(str(path))["functions"]["h"] == 1
