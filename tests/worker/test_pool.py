"""The lifecycle of a pool: drain, hand back, and what operators can change."""

from __future__ import annotations

import queue
import threading

import gevent
import pytest

from gearpool import Client, JobFailed
from gearpool.settings import RetrySettings
from gearpool.worker.pool import WorkerPool
from tests.processes import wait_for
from tests.worker.serving import function, resize, serving


def test_a_drain_finishes_running_jobs(server: str, client: Client) -> None:
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


def test_a_job_still_running_at_the_drain_deadline_is_run_by_another_worker(server: str, client: Client) -> None:
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


def test_with_on_drain_fail_such_a_job_fails(server: str, client: Client) -> None:
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


def test_a_drain_hands_back_jobs_that_wait_for_a_retry(server: str, client: Client) -> None:
    def boom(arg: bytes) -> bytes:
        raise ValueError("bad")

    with serving([function("work", boom, on_error="retry", retry=RetrySettings(delay_s=60.0))], server) as running:
        future = client.submit("work", b"")
        wait_for(lambda: running.snapshot()["functions"]["work"]["waiting_retry"] == 1, "the job to wait")
        assert running.stop()
        with serving([function("work", lambda arg: b"other")], server):
            assert future.result(10) == b"other"


def test_stop_now_ends_a_drain_at_once(server: str, client: Client) -> None:
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
        wait_for(lambda: running.pool.verdicts.draining, "the drain to begin")
        running.call(lambda pool: pool.stop_now())
        thread.join(20)
        assert stopped == [False]


def test_a_quiet_pool_grabs_nothing_until_it_resumes(server: str, client: Client) -> None:
    with serving([function("echo", lambda arg: arg)], server) as running:
        assert client.submit_job("echo", b"1", timeout=10) == b"1"
        running.call(lambda pool: pool.quiet())
        future = client.submit("echo", b"2")

        def woken(pool: WorkerPool) -> bool:
            (session,) = pool.sessions
            return session.grabs.woken

        # The server has woken the pool. If it were not quiet, it would grab and run the job at once.
        wait_for(lambda: future.done() or running.call(woken), "the server to wake the pool")
        assert not future.done()
        assert running.snapshot()["functions"]["echo"]["outcomes"]["complete"] == 1
        running.call(lambda pool: pool.resume())
        assert future.result(10) == b"2"


def test_resize_allows_more_concurrent_jobs(server: str, client: Client) -> None:
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
        running.call(lambda pool: resize(pool, "wait", 3))
        started.get(timeout=10)
        started.get(timeout=10)
        release.set()
        for future in futures:
            future.result(10)


def test_functions_can_be_added_and_removed_while_running(server: str, client: Client) -> None:
    with serving([function("one", lambda arg: b"1")], server) as running:
        assert client.submit_job("one", timeout=10) == b"1"
        running.call(lambda pool: pool.add(function("two", lambda arg: b"2")))
        assert client.submit_job("two", timeout=10) == b"2"
        running.call(lambda pool: pool.remove("one"))
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
        used, asked = running.call(lambda pool: (pool.admission.used, sum(s.grabs.under_way for s in pool.sessions)))
        assert used == asked
