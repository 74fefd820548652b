"""Functions of the user's that raise: it is logged, and the jobs of the client go on."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from gearpool.client import Client
from gearpool.client.futures import JobFuture
from gearpool.errors import UsageError
from tests.client.conftest import Server, Workers
from tests.client.test_client import Gate, echo
from tests.client.workers import Assigned, FailError
from tests.processes import wait_for


def fail(argument: object) -> None:
    raise ValueError("mine")


def leave(argument: object) -> None:
    raise SystemExit(3)


def interrupt(argument: object) -> None:
    raise KeyboardInterrupt  # nobody's Ctrl-C: that comes to the main thread


RAISING = pytest.mark.parametrize("callback", [fail, leave, interrupt])


@RAISING
def test_an_on_event_that_raises_ends_no_job(
    client: Client, work: Workers, callback: Callable[[object], None], caplog: pytest.LogCaptureFixture
) -> None:
    def stream(job: Assigned) -> bytes:
        job.part(b"a")
        job.part(b"b")
        return b"end"

    work(stream=stream)
    waiting = client.submit("nobody", "x")
    with caplog.at_level(logging.ERROR, "gearpool.client"):
        assert client.submit_job("stream", "x", on_event=callback) == b"end"
    assert not waiting.done()
    (record,) = [record for record in caplog.records if record.name == "gearpool.client"]
    assert "on_event of job" in record.message
    assert record.exc_info is not None


@RAISING
def test_a_done_callback_that_raises_keeps_neither_others_nor_jobs(
    client: Client, work: Workers, callback: Callable[[object], None], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    work(slow=gate)
    done: list[JobFuture] = []
    future, waiting = client.submit("slow", "x"), client.submit("nobody", "y")
    future.add_done_callback(callback)
    future.add_done_callback(done.append)
    gate.go.set()
    wait_for(lambda: done, "the second callback")
    assert future.result() == b"x"
    assert not waiting.done()
    assert any("a callback of job" in record.message for record in caplog.records)


def test_an_on_done_that_raises_does_not_end_submit_many(client: Client, work: Workers) -> None:
    work(echo=echo)
    futures = client.submit_many("echo", [str(number) for number in range(100)], on_done=fail)
    assert [future.result() for future in futures] == [str(number).encode() for number in range(100)]


def test_a_callback_added_to_a_job_that_is_done_is_called_here_and_logged(
    client: Client, work: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    work(echo=echo)
    future = client.submit("echo", "x")
    future.result()
    future.add_done_callback(fail)
    assert "a callback of job" in caplog.text
    with pytest.raises(SystemExit):
        future.add_done_callback(leave)  # in the caller's own thread it goes through


def test_callbacks_are_called_once_each_however_they_race(server: Server, work: Workers) -> None:
    work(echo=echo)
    called: list[int] = []

    def note(key: int, future: JobFuture) -> None:
        called.append(key)

    with Client(server.address) as client:
        for number in range(300):
            future = client.submit("echo", "x")
            for part in range(3):
                future.add_done_callback(functools.partial(note, number * 3 + part))
        wait_for(lambda: len(called) >= 900, "all callbacks")
    assert sorted(called) == list(range(900))


@pytest.mark.parametrize(
    "wait",
    [
        lambda client, _: client.submit_job("echo", "x"),
        lambda client, _: client.submit_background_job("echo", "x"),
        lambda client, _: client.submit("nobody", "x").result(),
        lambda client, _: client.submit("nobody", "x").job(),
        lambda client, _: client.get_job_status("H:x:1"),
        lambda client, _: client.echo(),
        lambda _, failed: failed.exception().retry(),
    ],
)
def test_a_callback_that_would_wait_for_its_own_reader_gets_an_error(
    client: Client, work: Workers, wait: Callable[[Client, JobFuture], object]
) -> None:
    gate = Gate()

    def end_badly(job: Assigned) -> bytes:
        gate(job)
        raise FailError

    work(bad=end_badly, echo=echo)
    raised: list[BaseException] = []

    def callback(future: JobFuture) -> None:
        try:
            wait(client, future)
        except UsageError as error:
            raised.append(error)

    future = client.submit("bad", "y")
    future.add_done_callback(callback)
    gate.go.set()
    wait_for(lambda: raised, "the callback")
    assert "thread of your own" in str(raised[0])
    assert client.submit_job("echo", "z") == b"z"


def test_a_callback_may_submit_look_and_give_up(client: Client, work: Workers) -> None:
    gate = Gate()
    work(slow=gate, echo=echo)
    given_up = client.submit("nobody", "x")
    given_up.job()
    submitted: list[Any] = []
    future = client.submit("slow", "y")

    def callback(future: JobFuture) -> None:
        assert future.result() == b"y"
        unnamed = client.submit("nobody", "z")
        submitted.extend([client.submit("echo", "z"), given_up.cancel(), unnamed.cancel()])

    future.add_done_callback(callback)
    gate.go.set()
    wait_for(lambda: len(submitted) == 3, "the callback")
    assert submitted[0].result() == b"z"
    assert submitted[1:] == [True, True]
