from __future__ import annotations

import time
from typing import Any

import pytest

from gearpool import examples


class RecordingJob:
    """Records the progress that a handler reports."""

    def __init__(self) -> None:
        self.progress_made: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.progress_made.append((done, total))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that handlers have asked to sleep; nothing sleeps."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def test_each_handler_returns_what_its_docstring_says() -> None:
    assert examples.echo(b"ab") == b"ab"
    assert examples.reverse(b"ab") == b"ba"
    assert examples.hello(b"Ada") == "Hello, Ada!"
    assert examples.hello(b"") == "Hello, world!"
    assert examples.wordcount(b"two words") == "2"


def test_sleep_reports_progress_each_tenth(slept: list[float]) -> None:
    job: Any = RecordingJob()
    assert examples.sleep(b"5", job) == b"5"
    assert sum(slept) == pytest.approx(5)
    assert job.progress_made == [(step, 10) for step in range(10)]
    examples.sleep(b"", job)
    assert sum(slept) == pytest.approx(6), "a second by default"


def test_countdown_streams_the_numbers(slept: list[float]) -> None:
    assert list(examples.countdown(b"2")) == ["2\n", "1\n"]
    assert len(list(examples.countdown(b""))) == 3
    assert len(slept) == 5


@pytest.mark.parametrize(("arg", "message"), [(b"", "as asked"), (b"broken", "broken")])
def test_fail_always_raises(arg: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examples.fail(arg)
