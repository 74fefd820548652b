"""One run of a handler, and what its exceptions keep alive."""

from __future__ import annotations

import sys
from typing import Any

import greenlet
import pytest

from gearpool.jobs import JobTimeout
from gearpool.worker.runs import Run, drop_locals
from tests.worker.plain import Owed


def test_an_interrupt_is_raised_in_the_suspended_handler_and_recorded() -> None:
    seen: list[BaseException] = []

    def handler() -> None:
        try:
            greenlet.getcurrent().parent.switch()
        except JobTimeout as error:
            seen.append(error)

    owed, handling = Owed(), greenlet.greenlet(handler)
    run = Run(owed.replies, owed.job(), handling)
    handling.switch()
    timeout = JobTimeout("over")
    run.throw(timeout)
    assert seen == run.thrown == [timeout]


def test_nothing_is_raised_in_a_run_that_has_ended() -> None:
    owed = Owed()
    run = Run(owed.replies, owed.job(), None)  # any use of the greenlet would fail
    assert run.end()
    run.throw(JobTimeout("over"))
    assert run.thrown == []


def test_an_abandoned_run_was_already_reported_when_it_ends() -> None:
    owed = Owed()
    run = Run(owed.replies, owed.job(), None)
    run.abandon()
    assert run.abandoned
    assert not run.end()
    assert run.ended


def test_drop_locals_empties_the_frames_of_an_exception_but_keeps_its_traceback() -> None:
    def fail(payload: list[int]) -> None:
        raise ValueError(len(payload))

    payload = [1, 2, 3]
    with pytest.raises(ValueError, match="3") as caught:
        fail(payload)
    before = sys.getrefcount(payload)
    drop_locals(caught.value)
    trace: Any = caught.value.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    assert sys.getrefcount(payload) < before
    assert trace.tb_frame.f_code.co_name == "fail"
    assert trace.tb_frame.f_locals == {}


def test_drop_locals_handles_exceptions_that_refer_to_each_other() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    drop_locals(one)


def test_drop_locals_leaves_a_suspended_generator_usable() -> None:
    def generate() -> Any:
        try:
            yield 1
        except ValueError as error:
            drop_locals(error)
        yield 2

    generator = generate()
    assert next(generator) == 1
    assert generator.throw(ValueError("inside")) == 2
