"""Futures: given up, waited for together, decoded, and limited in time whatever the server does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime as dt
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gearpool import (
    InvalidArgument,
    JobCancelled,
    JobFailed,
    JobFuture,
    JobTimedOut,
    SubmitUnknown,
    TimedOut,
    UndecodableResult,
)
from gearpool.client import Client
from gearpool.client.orders import make_order
from gearpool.client.payloads import BYTES
from gearpool.errors import ConnectionLost, GearpoolError
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline
from tests.client.conftest import Server, Workers
from tests.client.test_client import Gate, echo, fail
from tests.client.workers import Assigned
from tests.processes import Gearmand, free_port, wait_for

# Given up


def test_a_job_given_up_is_taken_out_of_the_queue(client: Client, work: Workers) -> None:
    future = client.submit("later", b"payload")
    handle = future.job()
    assert future.cancel()
    assert future.done()
    assert future.cancelled()
    with pytest.raises(JobCancelled) as raised:
        future.result()
    assert (raised.value.handle, raised.value.function, raised.value.server) == (handle.handle, "later", handle.server)
    assert not future.cancel()
    assert future._data == b""
    worker = work(later=echo)
    assert client.submit_job("later", "next") == b"next"
    assert [job.data for job in worker.jobs] == [b"next"]


def test_a_cancelled_running_job_keeps_running_and_its_result_is_discarded(client: Client, work: Workers) -> None:
    gate = Gate()
    worker = work(slow=gate)
    future = client.submit("slow", "x")
    assert gate.running.wait(30)
    called: list[object] = []
    future.add_done_callback(called.append)
    assert future.cancel()
    assert called == [future]
    gate.go.set()
    assert client.submit_job("slow", "y") == b"y"
    assert len(worker.jobs) == 2
    assert future.cancelled()


def test_a_job_that_others_may_wait_for_stays_on_the_server(client: Client, server: Server, work: Workers) -> None:
    with Client(server.address) as other:
        theirs = other.submit("later", "x", unique="shared")
        theirs.job()
        mine = client.submit("later", "x", unique="shared")
        mine.job()
        assert mine.cancel()
        work(later=echo)
        assert theirs.result(30) == b"x"


def test_a_job_that_has_ended_cannot_be_given_up(client: Client, work: Workers) -> None:
    work(echo=echo)
    future = client.submit("echo", "x")
    assert future.result() == b"x"
    assert not future.cancel()
    assert future.result() == b"x"


def test_timed_out_and_cancelled_jobs_hold_nothing(client: Client) -> None:
    futures = [client.submit("nobody", bytes(10_000), timeout=1.0) for _ in range(20)]
    kept = client.submit("nobody", "x")
    kept.job()
    for future in futures[:10]:
        assert future.cancel()
    for future in futures[10:]:
        assert isinstance(future.exception(), JobTimedOut)
    assert {future._data for future in futures} == {b""}
    connection = client._dispatch.pool.current(kept.server)
    assert connection is not None
    assert [calls for _, calls in connection.session.under_way()] == [[kept]]


def test_a_job_that_is_not_waited_for_ends_at_its_limit(client: Client) -> None:
    done: list[JobFuture[Any]] = []
    future = client.submit("nobody", bytes(10_000), timeout=0.3)
    future.add_done_callback(done.append)
    wait_for(lambda: done, "the callback")
    assert isinstance(future.exception(), JobTimedOut)
    assert future._data == b""


def test_a_job_that_timed_out_says_where_it_is(client: Client) -> None:
    with pytest.raises(JobTimedOut) as raised:
        client.submit_job("nobody", "x", timeout=2.0)
    error = raised.value
    assert (error.function, error.server) == ("nobody", client._dispatch.names[0])
    assert client.admin.cancel(f"{error.server}/{error.handle}")


def test_a_longer_wait_lengthens_a_jobs_time(client: Client, work: Workers) -> None:
    future = client.submit("slow", "x", timeout=0.5)
    started = threading.Timer(1.5, lambda: work(slow=echo))
    started.start()
    assert future.result(timeout=None) == b"x"
    started.join()


# concurrent.futures


def test_concurrent_futures_wait_for_jobs(client: Client, work: Workers) -> None:
    gate = Gate()
    work(echo=echo)
    work(fail=fail)
    work(slow=gate)
    quick, failing, slow = client.submit("echo", "x"), client.submit("fail", "y"), client.submit("slow", "z")
    done, pending = concurrent.futures.wait([quick, failing, slow], timeout=0.0)
    assert slow in pending
    done, pending = concurrent.futures.wait([slow, quick], return_when=concurrent.futures.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    gate.go.set()
    done, pending = concurrent.futures.wait([quick, failing, slow], timeout=30)
    assert (done, pending) == ({quick, failing, slow}, set())
    assert isinstance(failing.exception(), GearpoolError)


def test_as_completed_yields_each_job_once(client: Client, work: Workers) -> None:
    work(echo=echo)
    futures = [client.submit("echo", str(number)) for number in range(500)]
    finished = list(concurrent.futures.as_completed(futures, timeout=60))
    assert len(finished) == 500
    assert set(finished) == set(futures)
    assert {future.result() for future in finished} == {str(number).encode() for number in range(500)}


def test_waiting_together_ends_at_the_jobs_limits_and_when_the_client_closes(server: Server) -> None:
    with Client(server.address) as client:
        late = client.submit("nobody", "x", timeout=0.3)
        assert concurrent.futures.wait([late], timeout=30).done == {late}
        lost = client.submit("nobody", "y")
        closing = threading.Timer(0.2, client.close)
        closing.start()
        (first,) = concurrent.futures.as_completed([lost], timeout=30)
        assert isinstance(first.exception(), ConnectionLost)
        closing.join()


def test_jobs_and_other_futures_are_waited_for_together(client: Client, work: Workers) -> None:
    work(echo=echo)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        other = executor.submit(lambda: b"theirs")
        job: concurrent.futures.Future[bytes] = client.submit("echo", "ours")
        results = {future.result() for future in concurrent.futures.as_completed([other, job], timeout=30)}
    assert results == {b"theirs", b"ours"}


def test_asyncio_wraps_a_job(client: Client, work: Workers) -> None:
    work(echo=echo)
    work(fail=fail)

    async def use() -> list[object]:
        jobs = [client.submit("echo", [1], payload="json"), client.submit("fail", "x"), client.submit("nobody", "x")]
        wrapped = [asyncio.wrap_future(job) for job in jobs]
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, jobs[2].cancel)
        return await asyncio.wait_for(asyncio.gather(*wrapped, return_exceptions=True), 30)

    good, bad, cancelled = asyncio.run(use())
    assert good == [1]
    assert isinstance(bad, JobFailed)
    assert isinstance(cancelled, asyncio.CancelledError)


def test_a_job_shows_asyncio_its_state_at_once(client: Client, work: Workers) -> None:
    """Which asyncio asks for from Python 3.14 on; older ones ask for one thing after the other."""
    gate = Gate()
    work(echo=echo)
    work(fail=fail)
    work(slow=gate)
    slow = client.submit("slow", "x")
    assert shown(slow) == (False, False, None, None)
    gate.go.set()
    assert slow.result() == b"x"
    assert shown(slow) == (True, False, b"x", None)
    bad, late = client.submit("fail", "x"), client.submit("nobody", "x")
    assert isinstance(bad.exception(), JobFailed)
    assert (shown(bad)[:3], type(shown(bad)[3])) == ((True, False, None), JobFailed)
    late.cancel()
    assert shown(late) == (True, True, None, None)
    (background,) = client.submit_many("nobody", ["x"], background=True)
    background.job()
    assert shown(background) == (True, False, None, None)


def shown(job: JobFuture[bytes]) -> tuple[object, ...]:
    snapshot: tuple[object, ...] = job._get_snapshot()  # type: ignore[attr-defined]  # not told to type checkers
    return snapshot


# Payloads


def test_a_client_of_json_sends_and_reads_json(server: Server, work: Workers) -> None:
    work(echo=echo)
    with Client(server.address, payload="json") as client:
        value = {"list": [1, None, "ü"], "float": 0.5}
        assert client.submit_job("echo", value) == value
        assert client.submit("echo", value).result() == value
        assert client.submit_job("echo") is None
        assert list(client.map("echo", [{"n": number} for number in range(50)])) == [
            {"n": number} for number in range(50)
        ]
        assert client.gather(client.submit("echo", [1]), client.submit("echo", 2)) == [[1], 2]
        assert client.submit_job("echo", b"\xff", payload="bytes") == b"\xff"
        assert client.submit_background_job("later", value).handle
        assert len(list(client.submit_background_jobs("later", [value, value]))) == 2


def test_a_call_may_ask_for_json_or_text(client: Client, work: Workers) -> None:
    work(echo=echo)
    assert client.submit_job("echo", {"a": 1}, payload="json") == {"a": 1}
    assert client.submit_job("echo", "ü", payload="text") == "ü"
    assert list(client.map("echo", ["a", "b"], payload="text")) == ["a", "b"]
    assert client.submit_job("echo", "ü") == "ü".encode()


def test_a_dict_without_json_is_an_error_that_says_so(client: Client) -> None:
    for call in (client.submit_job, client.submit, client.submit_background_job):
        with pytest.raises(InvalidArgument, match='payload="json"'):
            call("f", {"a": 1})  # type: ignore[call-overload]  # on purpose


def test_a_failed_job_is_retried_in_its_own_kind(client: Client, work: Workers) -> None:
    runs: list[bytes] = []

    def second_time(job: Assigned) -> bytes:
        runs.append(job.data)
        return fail(job) if len(runs) == 1 else job.data

    work(shaky=second_time)
    error = client.submit("shaky", [1], payload="json").exception()
    assert error is not None
    retry: Callable[[], Any] = error.retry  # type: ignore[attr-defined]  # a JobFailed
    assert retry() == [1]


def test_a_result_that_is_no_json_is_an_error_with_the_result(client: Client, work: Workers) -> None:
    work(odd=lambda job: b"\xffnot JSON")
    with pytest.raises(UndecodableResult) as raised:
        client.submit_job("odd", 1, payload="json")
    assert raised.value.payload == b"\xffnot JSON"
    assert isinstance(client.submit("odd", 1, payload="json").exception(), UndecodableResult)


# Limits


@pytest.fixture
def hung(gearmand: Gearmand) -> Any:
    """A client of a server that has stopped in the middle of its work."""
    with Client(gearmand.address, request_timeout=60.0) as client:
        client.echo()
        gearmand.signal(signal.SIGSTOP)
        yield client
        gearmand.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.submit_job("f", "x", unique="u", timeout=1.0),
        lambda client: client.submit_job("f", "x", timeout=dt.timedelta(seconds=1)),
        lambda client: client.submit("f", "x", unique="u").result(1.0),
        lambda client: client.submit("f", "x").job(dt.timedelta(seconds=1)),
        lambda client: list(client.submit("f", "x", timeout=1.0).events()),
        lambda client: list(client.submit("f", "x").events(1.0)),
        lambda client: client.submit_background_job("f", "x", timeout=1.0),
        lambda client: list(client.map("f", ["x"] * 50, timeout=1.0)),
        lambda client: client.gather(*[client.submit("f", "x") for _ in range(50)], timeout=1.0),
        lambda client: client.echo(timeout=1.0),
        lambda client: client.get_job_status("H:x:1", timeout=1.0),
        lambda client: client.get_job_status(client.submit("f", "x"), timeout=1.0),
    ],
)
def test_a_limit_holds_while_the_server_hangs(hung: Client, call: Callable[[Client], object]) -> None:
    before = time.monotonic()
    with pytest.raises((TimedOut, SubmitUnknown)):
        call(hung)
    # Far from the limits of the checks inside (60 s), near enough for a busy machine.
    assert time.monotonic() - before < 20.0


def test_the_limits_of_running_jobs_hold_while_the_server_hangs(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        futures = [client.submit("f", "x", unique=f"u{number}", timeout=3.0) for number in range(200)]
        for future in futures:
            future.job()
        gearmand.signal(signal.SIGSTOP)
        try:
            before = time.monotonic()
            assert all(isinstance(future.exception(), JobTimedOut) for future in futures)
            assert time.monotonic() - before < 20.0
        finally:
            gearmand.signal(signal.SIGCONT)


BAD_TIMES = pytest.mark.parametrize("timeout", ["5", -1, -0.5, float("nan"), True, [1], dt.timedelta(seconds=-1)])


@BAD_TIMES
def test_a_limit_that_is_none_is_refused_everywhere(timeout: Any) -> None:
    address = f"127.0.0.1:{free_port()}"
    for option in ("connect_timeout", "request_timeout", "job_timeout"):
        arguments: Any = {option: timeout}
        with pytest.raises(InvalidArgument, match=option):
            Client(address, **arguments)
    with Client(address) as client:
        for call in (
            lambda: client.submit_job("f", timeout=timeout),
            lambda: client.submit("f", timeout=timeout),
            lambda: client.submit_background_job("f", timeout=timeout),
            lambda: client.submit_background_job("f", delay=timeout),
            lambda: client.map("f", ["x"], timeout=timeout),
            lambda: client.gather(timeout=timeout),
            lambda: client.echo(timeout=timeout),
            lambda: client.get_job_status("H:1", timeout=timeout),
        ):
            with pytest.raises(InvalidArgument):
                call()


@BAD_TIMES
def test_a_futures_limit_that_is_none_is_refused(client: Client, timeout: Any) -> None:
    future = client.submit("nobody", "x")
    for call in (future.result, future.exception, future.job, lambda limit: next(future.events(limit))):
        with pytest.raises(InvalidArgument):
            call(timeout)


def test_durations_are_timedeltas_too(server: Server, work: Workers) -> None:
    second = dt.timedelta(seconds=1)
    with Client(
        server.address, connect_timeout=30 * second, request_timeout=30 * second, job_timeout=60 * second
    ) as client:
        work(echo=echo)
        assert client.submit_job("echo", "x", timeout=30 * second) == b"x"
        assert client.submit("echo", "x").result(30 * second) == b"x"
        job = client.submit_background_job("later", "x", delay=dt.timedelta(hours=1))
        assert client.get_job_status(job, timeout=30 * second).is_known


def test_reprs_tell_what_it_is_and_how_far(client: Client, work: Workers) -> None:
    future = client.submit("nobody", "x")
    handle = future.job()
    assert repr(future) == f"<JobFuture nobody {handle} accepted>"
    future.cancel()
    assert repr(future) == f"<JobFuture nobody {handle} JobCancelled>"
    assert repr(client) == f"<Client {handle.server}>"
    assert str(handle) == f"{handle.server}/{handle.handle}"


class LateFuture(JobFuture[bytes]):
    """It has ended, and the reader has not come to telling so yet."""

    def _finished(self) -> None:
        pass


def test_who_begins_to_wait_between_a_jobs_end_and_its_telling_hears_of_it_once() -> None:
    nobody: Any = None
    order, limit = make_order("f"), Deadline.never()
    late = LateFuture(nobody, order, b"", b"", limit, BYTES)
    pending: Any = JobFuture(nobody, order, b"", b"", limit, BYTES)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        before = threads.submit(concurrent.futures.wait, [late])
        wait_for(lambda: late.__dict__.get("_waiters_together"), "one who waits for it")
        late._ended(PacketType.WORK_COMPLETE, b"r")
        meanwhile = threads.submit(concurrent.futures.wait, [late, pending])
        wait_for(lambda: pending._waiters, "one who waits for both")
        JobFuture._finished(late)
        assert before.result(20).done == {late}
        assert pending._waiters[0].num_pending_calls == 1
        pending._ended(PacketType.WORK_COMPLETE, b"r")
        assert meanwhile.result(20).done == {late, pending}
