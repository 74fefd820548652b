"""A handler that is run without a server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from gearpool.jobs import End, Job, JobTimeout
from gearpool.worker.loading import make_function
from gearpool.worker.run_once import run_once
from tests.worker.plain import Owed


def run(handler: Callable[..., Any], **options: Any) -> Any:
    return run_once(make_function("f", handler, **options), Owed().replies, b"x", unique="u", attempt=3)


def compute(arg: bytes) -> bytes:
    while True:
        pass


def wait(arg: bytes) -> bytes:
    gevent.sleep(60)
    return arg


def ignore_timeout(arg: bytes) -> bytes:
    try:
        return wait(arg)
    except JobTimeout:
        return wait(arg)


def test_the_result_is_encoded_and_the_handler_sees_the_job() -> None:
    def describe(arg: str, job: Job) -> str:
        return f"{arg} {job.unique} {job.attempt}"

    outcome = run(describe, payload="text")
    assert (outcome.end, outcome.result) == (End.RETURNED, b"x u 3")


def test_an_exception_is_the_outcome() -> None:
    def fail(arg: bytes) -> bytes:
        raise ValueError("no")

    outcome = run(fail)
    assert outcome.end is End.RAISED
    assert str(outcome.error) == "no"


@pytest.mark.parametrize("handler", [compute, wait, ignore_timeout])
def test_a_handler_that_exceeds_its_limit_times_out(handler: Callable[[bytes], bytes]) -> None:
    outcome = run(handler, timeout=0.05, timeout_grace=0.05)
    assert outcome.end is End.TIMED_OUT
    assert "0.05 s" in str(outcome.error)


def test_a_handler_that_returns_within_its_grace_period_succeeds() -> None:
    def return_late(arg: bytes) -> bytes:
        try:
            return wait(arg)
        except JobTimeout:
            return b"cleaned up"

    assert run(return_late, timeout=0.05, timeout_grace=60).result == b"cleaned up"


def test_a_handler_that_ignores_even_greenlet_exit_is_reported_while_it_still_runs() -> None:
    release, ended = gevent.event.Event(), gevent.event.Event()

    def ignore_everything(arg: bytes) -> bytes:
        while not release.is_set():
            with contextlib.suppress(BaseException):
                release.wait()
        ended.set()
        return arg

    outcome = run(ignore_everything, timeout=0.05, timeout_grace=0.05)
    assert outcome.end is End.TIMED_OUT
    assert not ended.is_set()
    release.set()
    assert ended.wait(10)
