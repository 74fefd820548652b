"""The life of a pool: draining, handing back, operators' wishes."""

from __future__ import annotations

import queue
import threading

import gevent
import pytest

from gearpool import Client, JobFailed
from gearpool.settings import RetrySettings
from gearpool.worker.pool import Pool
from tests.processes import wait_for
from tests.worker.serving import function, serving


def test_draining_finishes_what_runs(server: str, client: Client) -> None:
    started: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def slow(arg: bytes) -> bytes:
        started.put(arg)
        gevent.sleep(0.3)
        return arg

    with serving([function("slow", slow)], server) as running:
        futures = [client.submit("slow", b"%d" % number) for number in range(20)]
        for _ in futures:
            started.get(timeout=10)
        assert running.stop()
        assert [future.result(10) for future in futures] == [b"%d" % number for number in range(20)]


def test_what_still_runs_at_the_drain_deadline_is_handed_to_another_worker(server: str, client: Client) -> None:
    started: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def endless(arg: bytes) -> bytes:
        started.put(arg)
        gevent.sleep(60)
        return b"never"

    with serving([function("work", endless)], server) as running:
        future = client.submit("work", b"")
        started.get(timeout=10)
        assert not running.stop(0.05)
        with serving([function("work", lambda arg: b"other")], server):
            assert future.result(10) == b"other"


def test_on_drain_fail_tells_the_client_instead(server: str, client: Client) -> None:
    started: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def endless(arg: bytes) -> bytes:
        started.put(arg)
        gevent.sleep(60)
        return b"never"

    with serving([function("work", endless, on_drain="fail")], server) as running:
        future = client.submit("work", b"")
        started.get(timeout=10)
        assert not running.stop(0.05)
        with pytest.raises(JobFailed):
            future.result(10)


def test_jobs_that_wait_for_a_retry_are_handed_back_at_the_drain(server: str, client: Client) -> None:
    def boom(arg: bytes) -> bytes:
        raise ValueError("bad")

    with serving([function("work", boom, on_error="retry", retry=RetrySettings(delay_s=60.0))], server) as running:
        future = client.submit("work", b"")
        wait_for(lambda: running.snapshot()["functions"]["work"]["waiting_retry"] == 1, "the job to wait")
        assert running.stop()
        with serving([function("work", lambda arg: b"other")], server):
            assert future.result(10) == b"other"


def test_a_drain_is_hastened(server: str, client: Client) -> None:
    started: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def endless(arg: bytes) -> bytes:
        started.put(arg)
        gevent.sleep(60)
        return b"never"

    with serving([function("work", endless)], server) as running:
        client.submit_background_job("work", b"")
        started.get(timeout=10)
        stopped: list[bool] = []
        thread = threading.Thread(target=lambda: stopped.append(running.stop(600)))
        thread.start()
        wait_for(lambda: running.pool.draining, "the drain to begin")
        running.call(lambda pool: pool.hasten())
        thread.join(20)
        assert stopped == [False]


def test_a_quiet_pool_grabs_nothing_until_it_resumes(server: str, client: Client) -> None:
    with serving([function("echo", lambda arg: arg)], server) as running:
        assert client.submit_job("echo", b"1", timeout=10) == b"1"
        running.call(lambda pool: pool.hush())
        future = client.submit("echo", b"2")

        def woken(pool: Pool) -> bool:
            (session,) = pool.sessions
            return session._grabs.woken

        # The server has told the pool of the job: one that is not quiet asks for it at once, and answers.
        wait_for(lambda: future.done() or running.call(woken), "the server to wake the pool")
        assert not future.done()
        assert running.snapshot()["functions"]["echo"]["outcomes"]["complete"] == 1
        running.call(lambda pool: pool.resume())
        assert future.result(10) == b"2"


def test_resizing_lets_more_jobs_run(server: str, client: Client) -> None:
    started: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    release = threading.Event()

    def wait(arg: bytes) -> bytes:
        started.put(arg)
        while not release.is_set():
            gevent.sleep(0.005)
        return arg

    with serving([function("wait", wait, concurrency=1)], server) as running:
        futures = [client.submit("wait", b"%d" % number) for number in range(3)]
        started.get(timeout=10)
        running.call(lambda pool: pool.resize("wait", 3))
        started.get(timeout=10)
        started.get(timeout=10)
        release.set()
        for future in futures:
            future.result(10)


def test_a_function_added_while_running_is_served_and_one_removed_is_not(server: str, client: Client) -> None:
    with serving([function("one", lambda arg: b"1")], server) as running:
        assert client.submit_job("one", timeout=10) == b"1"
        running.call(lambda pool: pool.open(function("two", lambda arg: b"2")))
        assert client.submit_job("two", timeout=10) == b"2"
        running.call(lambda pool: pool.shut("one"))
        wait_for(
            lambda: [row.workers for row in client.admin.status()[server] if row.function == "one"] == [0],
            "the server to know that nobody serves it",
        )


def test_no_slot_leaks_over_many_jobs_of_every_kind(server: str, client: Client) -> None:
    def mixed(arg: bytes) -> bytes:
        number = int(arg)
        if number % 3 == 0:
            gevent.sleep(0)
        if number % 5 == 0:
            raise ValueError("bad")
        return arg

    with serving([function("mixed", mixed, concurrency=13)], server) as running:
        futures = [client.submit("mixed", b"%d" % number) for number in range(2000)]
        failed = sum(future.exception(20) is not None for future in futures)
        assert failed == 400
        used, asked = running.call(lambda pool: (pool.slots.used, sum(s.asked for s in pool.sessions)))
        assert used == asked
