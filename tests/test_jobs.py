from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from gearpool.errors import InvalidArgument
from gearpool.jobs import Abort, Draining, Job, JobTimeout, Killed, Retry, Skip


class Notes:
    server = "s:1"

    def __init__(self) -> None:
        self.sent: list[object] = []

    def send_data(self, job: Job, data: bytes) -> None:
        self.sent.append(data)

    def send_warning(self, job: Job, data: bytes) -> None:
        self.sent.append(data)

    def send_status(self, job: Job, numerator: int, denominator: int) -> None:
        self.sent.append((numerator, denominator))


def job(notes: Notes, timeout_s: float | None = None) -> Job:
    return Job(notes, "f", b"H:x:1", b"u\xff", b"arg", timeout_s)


@pytest.mark.parametrize(
    ("done", "total", "sent"),
    [
        (1, 2, [(1, 2)]), (0, 0, []), (1, -3, []), (-5, 10, [(0, 10)]), (2**40, 2**40, [(2**31 - 1, 2**31 - 1)]),
        (0.5, 1.0, [(0, 1)]), (float("inf"), float("inf"), [(2**31 - 1, 2**31 - 1)]), (float("-inf"), 10, [(0, 10)]),
        (float("nan"), 10, [(0, 10)]), (1, float("nan"), []), (10**400, 10**400, [(2**31 - 1, 2**31 - 1)]),
    ],
)  # fmt: skip
def test_progress_is_clamped_and_never_has_a_zero_denominator(done: float, total: float, sent: list[object]) -> None:
    notes = Notes()
    job(notes).progress(done, total)
    assert notes.sent == sent


def test_data_and_warnings_are_bytes_or_text() -> None:
    notes = Notes()
    job(notes).data("ü")
    job(notes).warning(memoryview(b"w"))  # type: ignore[arg-type]
    assert notes.sent == ["ü".encode(), b"w"]
    with pytest.raises(InvalidArgument):
        job(notes).data(7)  # type: ignore[arg-type]


def test_a_job_knows_its_names_even_if_they_are_not_utf8() -> None:
    one = job(Notes())
    assert (one.handle, one.unique, one.server, one.function) == ("H:x:1", "u\udcff", "s:1", "f")


def test_the_deadline_counts_from_the_start_of_the_run() -> None:
    one = job(Notes(), 30.0)
    # Not a number of our own: a machine that was just booted counts from zero.
    one.started = time.monotonic() - 100.0
    assert one.deadline == one.started + 30.0
    assert one.remaining() == 0.0
    assert job(Notes()).deadline is None
    assert job(Notes()).remaining() is None


def test_the_log_carries_what_is_known_of_the_job(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        job(Notes()).log.info("hello", extra={"colour": "red"})
    record = caplog.records[0]
    assert record.__dict__["handle"] == "H:x:1"
    assert record.__dict__["attempt"] == 1
    assert record.__dict__["colour"] == "red"


@pytest.mark.parametrize("kind", [JobTimeout, Draining, Killed])
def test_except_exception_does_not_swallow_an_interrupt(kind: type[BaseException]) -> None:
    assert not issubclass(kind, Exception)


@pytest.mark.parametrize("delay", [-1.0, float("nan"), float("inf"), "5"])
def test_a_delay_that_is_no_number_of_seconds_is_refused(delay: Any) -> None:
    with pytest.raises(InvalidArgument, match="0 or more seconds"):
        Retry(delay)


@pytest.mark.parametrize(("result", "sent"), [("é", "é".encode()), (bytearray(b"x"), b"x"), (None, b"")])
def test_skip_takes_what_a_handler_may_return(result: Any, sent: bytes) -> None:
    assert Skip(result).result == sent


@pytest.mark.parametrize("result", [5, {"a": 1}, ["a"]])
def test_skip_refuses_what_a_handler_may_not_return(result: Any) -> None:
    with pytest.raises(InvalidArgument, match="Skip takes bytes or str"):
        Skip(result)


@pytest.mark.parametrize(
    ("reason", "said"), [(ValueError("bad"), "bad"), (b"why\xff", "why\\xff"), (5, "5"), (None, "")]
)
def test_abort_makes_a_text_of_its_reason(reason: Any, said: str) -> None:
    assert Abort(reason).reason == said
