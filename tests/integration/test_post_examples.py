"""The examples of cl-gearman's announcement, in Python, against both servers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from gearpool import Abort, Client, Job, JobFailed, Retry, Skip
from gearpool.settings import RetrySettings
from gearpool.testing.servers import job_server
from tests.processes import running_gearmand
from tests.worker.serving import function, serving


@pytest.fixture(params=["embedded", "gearmand"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a new job server."""
    if request.param == "gearmand":
        with running_gearmand() as real:
            yield real.address
    else:
        with job_server() as ours:
            yield ours.address


def test_hello_and_echo(server: str) -> None:
    functions = [
        function("hello", lambda arg, job: b"Hello, " + arg + b"!"),
        function("echo", lambda arg, job: arg),
    ]
    with serving(functions, server), Client(server) as client:
        assert client.submit_job("hello", "World", timeout=10) == b"Hello, World!"
        assert client.submit_job("echo", "foo", timeout=10) == b"foo"


def test_three_background_jobs_run_in_order_of_priority(server: str) -> None:
    def sleep(arg: bytes, job: Job) -> bytes:
        for step in range(10):
            job.progress(step, 10)
            gevent.sleep(float(arg) / 10)
        return arg

    with Client(server) as client:
        jobs = {
            "normal": client.submit_background_job("sleep", "0.3"),
            "low": client.submit_background_job("sleep", "0.3", priority="low"),
            "high": client.submit_background_job("sleep", "0.3", priority="high"),
        }
        for job in jobs.values():
            status = client.get_job_status(job)
            assert (status.is_known, status.is_running) == (True, False)
        order: list[str] = []
        with serving([function("sleep", sleep)], server, concurrency=1):
            end = time.monotonic() + 30
            waiting = dict(jobs)
            while waiting and time.monotonic() < end:
                running = []
                for name, job in list(waiting.items()):
                    status = client.get_job_status(job)
                    if not status.is_known:
                        del waiting[name]
                    elif status.is_running:
                        running.append(name)
                order += [name for name in running if name not in order]
                time.sleep(0.02)
        assert order == ["high", "normal", "low"]


def test_an_always_failing_handler_under_skip_abort_and_retry(server: str) -> None:
    def fail(arg: bytes, job: Job) -> bytes:
        if arg == b"skip":
            raise Skip("skipped")
        if arg == b"abort":
            raise Abort
        raise Retry

    retry = RetrySettings(attempts=3, delay_s=0.01)
    with serving([function("fail", fail, retry=retry)], server) as running, Client(server) as client:
        assert client.submit_job("fail", "skip", timeout=10) == b"skipped"
        with pytest.raises(JobFailed):
            client.submit_job("fail", "abort", timeout=10)
        with pytest.raises(JobFailed):
            client.submit_job("fail", "retry", timeout=10)
        assert running.outcomes("fail") == {"skipped": 1, "failed": 2, "retried": 2}
