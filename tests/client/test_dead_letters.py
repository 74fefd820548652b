from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gearpool.client.dead_letters import drop, is_selected, retry
from gearpool.dead_letter_file import Letter, append, read
from tests.web.test_letter_files import letter


class Submitter:
    """A client that fails at the letters with these handles."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.submitted: list[tuple[str, bytes, str]] = []

    def submit_background_job(self, function: str, payload: bytes, unique: str) -> str:
        if any(unique == f"dead-{letter(int(number)).id}" for number in self.failing):
            raise ConnectionError("gone")
        self.submitted.append((function, payload, unique))
        return f"job {len(self.submitted)}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dead.jsonl"
    for number in range(3):
        append(path, letter(number))
    return path


def letters(path: Path) -> list[Letter]:
    return [each for _, each in read(path) if isinstance(each, Letter)]


def test_submitted_letters_leave_the_file(path: Path) -> None:
    client: Any = Submitter()
    jobs: list[object] = []
    assert retry(client, path, letters(path)[:2], jobs.append) == 2
    assert jobs == ["job 1", "job 2"]
    assert client.submitted[0] == ("f", b"secret", f"dead-{letter(0).id}")
    assert [each.handle for each in letters(path)] == ["H:2"]


def test_what_could_not_be_submitted_stays(path: Path) -> None:
    client: Any = Submitter("1")
    with pytest.raises(ConnectionError):
        retry(client, path, letters(path))
    assert [each.handle for each in letters(path)] == ["H:1", "H:2"]


def test_in_a_long_run_letters_leave_the_file_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearpool.client.dead_letters.DROP_EVERY_S", 0.0)
    left: list[int] = []
    client: Any = Submitter()
    retry(client, path, letters(path), lambda _: left.append(len(letters(path))))
    assert left == [3, 2, 1]
    assert letters(path) == []


def test_drop_says_how_many(path: Path) -> None:
    assert drop(path, {letter(1).id, "unknown"}) == 1
    assert drop(path, ()) == 0
    assert len(letters(path)) == 2


def test_letters_are_selected_by_all_that_is_given() -> None:
    one = letter(1, error="ValueError: x")
    assert is_selected(one)
    assert is_selected(one, [one.id], "f", "Value")
    assert not is_selected(one, ["other"])
    assert not is_selected(one, (), "g")
    assert not is_selected(one, (), None, "Type")
