"""`run_job`: what a handler's test sees is what a worker would do."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import gevent
import pytest

from gearpool import Abort, Client, Job, JobTimeout, Retry, Skip
from gearpool.handlers import HandlerError
from gearpool.settings import RetrySettings
from gearpool.testing import JobResult, job_server, run_job, working


def test_the_result_comes_back() -> None:
    done = run_job(lambda arg: arg[::-1], b"abc")
    assert (done.outcome, done.result, done.value, done.attempts) == ("complete", b"cba", b"cba", 1)
    assert done.succeeded
    assert done.error is None


def test_a_handler_may_be_named_by_its_dotted_path() -> None:
    assert run_job("gearpool.examples.reverse", "abc").result == b"cba"
    with pytest.raises(HandlerError, match="nowhere"):
        run_job("nowhere.to.be.found")


@pytest.mark.parametrize(
    ("payload", "argument", "seen", "value", "result"),
    [
        ("bytes", "é", "é".encode(), b"x", b"x"),
        ("text", "é", "é", "ü", "ü".encode()),
        ("text", "é".encode(), "é", "ü", "ü".encode()),
        ("json", {"a": [1]}, {"a": [1]}, {"b": None}, b'{"b":null}'),
        ("json", "text", "text", "more", b'"more"'),
        ("json", b"[1, 2]", [1, 2], 3, b"3"),
    ],
)
def test_payloads_are_decoded_and_results_encoded_as_configured(
    payload: Any, argument: Any, seen: Any, value: Any, result: bytes
) -> None:
    given: list[Any] = []

    def handler(arg: Any) -> Any:
        given.append(arg)
        return value

    done = run_job(handler, argument, payload=payload)
    assert (given, done.result, done.value) == ([seen], result, value)


def test_a_payload_that_does_not_decode_is_an_error_like_any_other() -> None:
    done = run_job(lambda arg: arg, b"{", payload="json")
    assert done.outcome == "failed"
    assert "JSONDecodeError" in done.reason
    assert run_job(lambda arg: arg, b"{", payload="json", on_error="skip").outcome == "skipped"
    with pytest.raises(TypeError, match="a payload is bytes or str"):
        run_job(lambda arg: arg, {"a": 1})


def test_everything_reported_on_the_way_is_seen() -> None:
    def handler(arg: bytes, job: Job) -> Generator[str, None, str]:
        job.progress(1, 2)
        job.progress(2, 2)
        job.progress(1, 0)  # never sent: clients divide by it
        job.warning("careful")
        yield "one"
        job.data(b"two")
        return f"{job.function} {job.unique} {job.attempt} {job.remaining() is None}"

    done = run_job(handler, "x", function="stream", unique="u1")
    assert done == JobResult(
        outcome="complete",
        result=b"stream u1 1 True",
        value=b"stream u1 1 True",
        data=[b"one", b"two"],
        warnings=[b"careful"],
        statuses=[(1, 2), (2, 2)],
        attempts=1,
    )


def test_skip_abort_and_retry_beat_on_error() -> None:
    def skip(arg: bytes) -> None:
        raise Skip("settled")

    def abort(arg: bytes) -> None:
        raise Abort("no such user")

    def retry(arg: bytes, job: Job) -> bytes:
        if job.attempt < 3:
            raise Retry(delay=7)
        return b"at last"

    assert (run_job(skip).outcome, run_job(skip).value) == ("skipped", b"settled")
    aborted = run_job(abort, on_error="retry")
    assert (aborted.outcome, aborted.reason, aborted.attempts) == ("failed", "no such user", 1)
    retried = run_job(retry)
    assert (retried.outcome, retried.value, retried.attempts, retried.delays) == ("complete", b"at last", 3, [7, 7])


def test_retries_are_run_without_their_delays_until_they_are_exhausted() -> None:
    def fail(arg: bytes) -> None:
        raise ConnectionError("down")

    done = run_job(
        fail,
        on_error={ConnectionError: "retry", "default": "abort"},
        retry=RetrySettings(attempts=4, delay_s=10, backoff=3, max_delay_s=50, then="dead_letter"),
    )
    assert (done.outcome, done.attempts, done.delays) == ("dead_letter", 4, [10, 30, 50])
    assert "gave up after 4 attempts: ConnectionError: down" in done.reason
    assert isinstance(done.error, ConnectionError)
    assert not done.succeeded
    other = run_job(lambda arg: [].pop(), on_error={ConnectionError: "retry", "default": "abort"}, report="exception")
    assert (other.outcome, other.attempts, other.reason) == (
        "exception",
        1,
        "IndexError: pop from empty list",
    )


def test_a_handler_that_waits_gets_job_timeout_at_its_limit() -> None:
    cleaned: list[str] = []

    def handler(arg: bytes) -> None:
        try:
            gevent.sleep(60)
        except JobTimeout:
            cleaned.append("up")
            raise

    done = run_job(handler, timeout=0.02)
    assert (done.outcome, cleaned) == ("timeout", ["up"])
    assert run_job(handler, timeout=0.02, on_timeout="skip").outcome == "skipped"


def test_a_handler_that_never_waits_is_interrupted_in_place() -> None:
    def handler(arg: bytes) -> None:
        while True:
            pass

    assert run_job(handler, timeout=0.02).outcome == "timeout"


def test_what_is_raised_on_the_way_out_of_a_timeout_is_a_timeout_still() -> None:
    def handler(arg: bytes) -> None:
        try:
            gevent.sleep(60)
        finally:
            raise ValueError("in the clean-up")

    assert run_job(handler, timeout=0.02, on_error="skip").outcome == "timeout"


def test_a_handler_that_swallows_its_timeout_is_killed_and_one_that_swallows_that_is_left_behind() -> None:
    def stubborn(arg: bytes) -> None:
        while True:
            with contextlib.suppress(JobTimeout):
                gevent.sleep(60)

    def immortal(arg: bytes) -> None:
        while not over:
            try:
                gevent.sleep(0.01)
            except BaseException:
                continue

    over: list[bool] = []
    assert run_job(stubborn, timeout=0.01, timeout_grace=0.02).outcome == "timeout"
    assert run_job(immortal, timeout=0.01, timeout_grace=0.02).outcome == "timeout"
    over.append(True)
    gevent.sleep(0.05)


def test_it_runs_in_other_threads_too() -> None:
    results: list[JobResult] = []

    def run() -> None:
        results.append(run_job(lambda arg: arg, b"x"))
        results.append(run_job(lambda arg: gevent.sleep(60), timeout=0.02))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert [done.outcome for done in results] == ["complete", "timeout"]


def test_the_alarm_of_others_rings_when_it_should_have() -> None:
    # pytest-timeout's, for one.
    rung: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        run_job(lambda arg: gevent.sleep(0.02), timeout=5)
        end = time.monotonic() + 20
        while not rung and time.monotonic() < end:
            time.sleep(0.01)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("error", ["abort", "skip"])
def test_it_ends_as_a_worker_ends_it(error: Any) -> None:
    """The same handler by `run_job` and by a real worker over a real server."""

    def handler(arg: bytes, job: Job) -> Any:
        if arg == b"raise":
            raise ValueError("bad")
        if arg == b"abort":
            raise Abort("enough")
        if arg == b"skip":
            raise Skip("never mind")
        if arg == b"wrong":
            return 17
        return arg.upper()

    with job_server() as server, working(server) as worker, Client(server.address, job_timeout=20) as client:
        worker.add("f", handler, on_error=error, report="exception")
        for argument in ("plain", "raise", "abort", "skip", "wrong"):
            here = run_job(handler, argument, on_error=error, report="exception")
            future = client.submit("f", argument)
            failure = future.exception()
            if here.succeeded:
                assert future.result() == here.result
            else:
                assert here.outcome == "exception"
                assert here.reason.encode() == getattr(failure, "payload", None)


def test_the_program_need_not_be_patched_and_may_be() -> None:
    program = """
import sys
if sys.argv[1] == "patched":
    from gevent import monkey; monkey.patch_all()
import time
from gearpool.testing import run_job
def handler(arg):
    time.sleep(0.01)
    return arg
print(run_job(handler, b"x", timeout=5).outcome, run_job(lambda arg: time.sleep(60), timeout=0.05).outcome)
"""
    for how in ("plain", "patched"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, how], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr) == ("complete timeout\n", "")
