"""How a session runs jobs and reports them, with both job servers."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from gearpool import Client, Job, JobFailed
from gearpool.client import Data, Progress, Warned
from gearpool.worker.grabs import Grabs
from gearpool.worker.pool import WorkerPool
from gearpool.worker.server_timeouts import ServerTimeouts
from tests.processes import wait_for
from tests.worker.serving import function, serving


class Held:
    """A handler that records each start and returns once `release` is set."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.starts: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __call__(self, arg: bytes) -> bytes:
        self.starts.put(arg)
        while not self.release.is_set():
            gevent.sleep(0.01)
        return arg


def test_a_handler_gets_the_argument_and_the_job(server: str, client: Client) -> None:
    seen: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def look(arg: bytes, job: Job) -> bytes:
        seen.put((arg, job.function, job.unique, job.server, job.attempt, job.handle))
        return b"done"

    with serving([function("look", look)], server):
        future = client.submit("look", b"\0a\0", unique="u1")
        assert future.result(10) == b"done"
    arg, name, unique, where, attempt, handle = seen.get()
    assert (arg, name, unique, where, attempt) == (b"\0a\0", "look", "u1", server, 1)
    assert str(future.handle).endswith(handle)


@pytest.mark.parametrize(
    ("result", "wire"),
    [(b"x", b"x"), ("ü", "ü".encode()), (None, b""), (b"", b""), (bytearray(b"y"), b"y")],
)
def test_a_result_is_sent_as_bytes(server: str, client: Client, result: Any, wire: bytes) -> None:
    with serving([function("give", lambda arg: result)], server):
        assert client.submit_job("give", b"", timeout=10) == wire


def test_a_result_of_an_unsupported_type_fails_the_job(server: str, client: Client) -> None:
    with serving([function("give", lambda arg: 7)], server), pytest.raises(JobFailed):
        client.submit_job("give", b"", timeout=10)


def test_json_payloads_are_decoded_and_encoded(server: str, client: Client) -> None:
    with serving([function("add", sum, payload="json")], server):
        assert client.submit_job("add", b"[1, 2, 3]", timeout=10) == b"6"
        with pytest.raises(JobFailed):
            client.submit_job("add", b"[1,", timeout=10)


def test_text_payloads_that_are_not_utf8_fail_the_job(server: str, client: Client) -> None:
    with serving([function("up", lambda text: text.upper(), payload="text")], server):
        assert client.submit_job("up", "äb".encode(), timeout=10) == "ÄB".encode()
        with pytest.raises(JobFailed):
            client.submit_job("up", b"\xff", timeout=10)


def test_a_generator_streams_and_its_return_value_is_the_result(server: str, client: Client) -> None:
    def stream(arg: bytes) -> Iterator[str]:
        yield "one"
        gevent.sleep(0)
        yield "two"
        return b"end"  # type: ignore[return-value]

    with serving([function("stream", stream)], server):
        future = client.submit("stream", b"")
        assert [event.data for event in future.events() if isinstance(event, Data)] == [b"one", b"two"]
        assert future.result(10) == b"end"


def test_progress_data_and_warnings_reach_the_client_in_order(server: str, client: Client) -> None:
    def talk(arg: bytes, job: Job) -> bytes:
        job.progress(1, 4)
        job.data(b"part")
        job.warning(b"careful")
        job.progress(0, 0)  # never a zero denominator
        job.progress(4, 4)
        return b""

    with serving([function("talk", talk)], server):
        events = list(client.submit("talk", b"").events())
    assert [type(event) for event in events] == [Progress, Data, Warned, Progress]


def test_the_rest_of_a_batch_runs_while_a_handler_yields(server: str, client: Client) -> None:
    gate: list[Event] = []

    def wait(arg: bytes) -> bytes:
        if arg == b"slow":
            gate.append(Event())
            gate[0].wait()
        return arg

    with serving([function("wait", wait)], server) as running:
        slow = client.submit("wait", b"slow")
        quick = [client.submit("wait", b"%d" % number) for number in range(50)]
        assert [future.result(10) for future in quick] == [b"%d" % number for number in range(50)]
        assert not slow.done()
        running.call(lambda _: gate[0].set())
        assert slow.result(10) == b"slow"


def test_the_concurrency_of_a_function_is_not_exceeded(server: str, client: Client) -> None:
    now, most = 0, 0

    def count(arg: bytes) -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        gevent.sleep(0.005)
        now -= 1
        return arg

    with serving([function("count", count, concurrency=7)], server):
        results = list(client.map("count", [b"%d" % number for number in range(100)], window=100))
    assert len(results) == 100
    assert most == 7


def test_the_concurrency_of_the_process_is_not_exceeded_by_all_functions_together(server: str, client: Client) -> None:
    now, most = 0, 0

    def count(arg: bytes) -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        gevent.sleep(0.005)
        now -= 1
        return arg

    functions = [function(f"f{number}", count, max_slots=5) for number in range(4)]
    with serving(functions, server, concurrency=5):
        futures = [client.submit(f"f{number % 4}", b"") for number in range(80)]
        for future in futures:
            future.result(20)
    assert most == 5


def test_each_job_runs_in_a_fresh_context(server: str, client: Client) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def use(arg: bytes) -> str:
        before = variable.get()
        variable.set("set")
        if arg == b"wait":
            gevent.sleep(0.001)
            assert variable.get() == "set"
        return before

    with serving([function("use", use, concurrency=1)], server):
        for arg in [b"", b"", b"wait", b"wait", b""]:
            assert client.submit_job("use", arg, timeout=10) == b"unset"


@pytest.mark.parametrize("size", [0, 1, 65_480, 65_510, 65_536, 3_000_000])
def test_payloads_of_all_sizes_are_returned_intact(server: str, client: Client, size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    with serving([function("echo", lambda arg: arg)], server):
        assert client.submit_job("echo", payload[:size], timeout=20) == payload[:size]


def test_large_results_of_concurrent_jobs_are_not_mixed_up(server: str, client: Client) -> None:
    def big(arg: bytes) -> bytes:
        gevent.sleep(0.001)
        return arg * 400_000

    with serving([function("big", big)], server):
        futures = {letter: client.submit("big", letter) for letter in (b"a", b"b", b"c", b"d", b"e")}
        for letter, future in futures.items():
            assert future.result(20) == letter * 400_000


def test_a_lost_connection_is_reopened_and_serves(gearmand: Any) -> None:
    with serving([function("echo", lambda arg: arg)], gearmand.address) as running:
        with Client(gearmand.address) as client:
            assert client.submit_job("echo", b"1", timeout=10) == b"1"
        gearmand.restart()
        with Client(gearmand.address) as client:
            assert client.submit_job("echo", b"2", timeout=10) == b"2"
        assert running.snapshot()["reconnects"] >= 1


def test_jobs_of_a_lost_connection_are_run_again_and_their_first_results_discarded(gearmand: Any) -> None:
    slow = Held()

    def cut(pool: WorkerPool) -> None:
        for session in list(pool.sessions):
            session.close("cut")

    with serving([function("slow", slow)], gearmand.address) as running:
        with Client(gearmand.address) as client:
            client.submit_background_job("slow", b"x")
            slow.starts.get(timeout=10)
            running.call(cut)
            slow.starts.get(timeout=10)  # handed out again on the new connection
            slow.release.set()
        wait_for(lambda: running.outcomes("slow") == {"complete": 1, "orphaned": 1}, "one result sent and one dropped")


def test_two_servers_are_served_and_one_may_die(server: str, gearmand: Any) -> None:
    with serving([function("echo", lambda arg: arg)], server, gearmand.address):
        for address in (server, gearmand.address):
            with Client(address) as client:
                assert client.submit_job("echo", b"x", timeout=10) == b"x"
        gearmand.kill()
        with Client(server) as client:
            assert client.submit_job("echo", b"y", timeout=10) == b"y"
        gearmand.start()
        with Client(gearmand.address) as client:
            assert client.submit_job("echo", b"z", timeout=10) == b"z"


def test_a_paused_function_grabs_nothing_until_it_is_resumed(server: str, client: Client) -> None:
    with serving([function("echo", lambda arg: arg), function("other", lambda arg: arg)], server) as running:
        assert client.submit_job("echo", b"1", timeout=10) == b"1"
        running.call(lambda pool: pool.pause("echo"))
        waiting = client.submit("echo", b"2")
        assert client.submit_job("other", b"", timeout=10) == b""
        assert not waiting.done()
        running.call(lambda pool: pool.resume("echo"))
        assert waiting.result(10) == b"2"


def test_with_log_jobs_each_job_is_logged(server: str, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    def wait(arg: bytes) -> bytes:
        if arg:
            gevent.sleep(0)
        return arg

    with serving([function("wait", wait)], server) as running, caplog.at_level("INFO"):
        running.pool.running.log_jobs = True
        client.submit_job("wait", b"", timeout=10)
        client.submit_job("wait", b"x", timeout=10)
    done = [record for record in caplog.records if getattr(record, "gearpool_event", "") == "job.complete"]
    assert len(done) == 2


def test_handing_back_the_last_job_of_a_draining_connection_closes_it_at_once(gearmand: Any) -> None:
    slow = Held()

    def drain_and_hand_back(pool: WorkerPool) -> None:
        for session in pool.sessions:
            session.drain()
            session.replies.hand_back()

    timeouts = ServerTimeouts(tick_s=3600.0)  # so that no tick closes it
    with (
        serving([function("slow", slow)], gearmand.address, timeouts=timeouts) as running,
        Client(gearmand.address) as client,
    ):
        client.submit_background_job("slow", b"x")
        slow.starts.get(timeout=10)
        running.call(drain_and_hand_back)
        slow.starts.get(timeout=30)  # handed out again, over a new connection
        slow.release.set()


def test_an_internal_error_closes_the_connection_but_the_function_stays_served(
    server: str, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered = Grabs.answered
    defects = [ZeroDivisionError("a defect")]

    def broken(self: Grabs, jobs: int, none: int) -> None:
        if jobs and defects:
            raise defects.pop()
        answered(self, jobs, none)

    monkeypatch.setattr(Grabs, "answered", broken)
    with serving([function("echo", lambda arg: arg)], server), caplog.at_level("INFO"):
        assert client.submit_job("echo", b"x", timeout=30) == b"x"
    told = [record for record in caplog.records if getattr(record, "gearpool_event", "") == "worker.error"]
    assert len(told) == 1
    assert "a defect" in told[0].getMessage()
    assert told[0].exc_info
