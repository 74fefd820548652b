"""Which job the greenlets, threads and tasks belong to that a job starts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import gevent
import greenlet
import pytest
from gevent import threadpool
from gevent.hub import get_hub

from gearpool import Client, Job
from gearpool.page import Page
from gearpool.testing.servers import job_server
from gearpool.worker.ownership import Ownership, origin_of
from tests.worker.serving import Serving, function, serving

WRAPPED = [(threadpool.ThreadPool, "spawn"), (futures.ThreadPoolExecutor, "submit"), (threading.Thread, "start")]


class Owner:
    """A pool whose only function runs what a test passes to it, with ownership installed."""

    def __init__(self, running: Serving, client: Client, ownership: Ownership, page: Page) -> None:
        self.running = running
        self.client = client
        self.ownership = ownership
        self.page = page
        self.seen: list[Any] = []
        self.do: Callable[[], object] = lambda: None

    def see(self) -> None:
        """Record the job to which the calling greenlet belongs."""
        origin = origin_of(gevent.getcurrent())
        self.seen.append(None if origin is None else origin.unique)

    def run(self, do: Callable[[], object], unique: str = "mine") -> list[Any]:
        """Run ``do`` as a job; returns what was recorded meanwhile."""
        self.seen.clear()
        self.do = do
        self.client.submit_job("work", b"", unique=unique, timeout=20)
        return list(self.seen)

    def in_native_threads(self) -> list[bytes]:
        return [row.unique for row in self.page.jobs.rows() if row.thread]


@pytest.fixture
def owner() -> Iterator[Owner]:
    before = [getattr(owner, name) for owner, name in WRAPPED]
    owners: list[Owner] = []

    def work(arg: bytes, job: Job) -> bytes:
        owners[0].do()
        return b""

    with job_server() as server, serving([function("work", work)], server.address) as running:
        page = Page.private()
        ownership = running.call(lambda pool: Ownership(pool.running, pool.greenlets, page))
        with Client(server.address) as client:
            owners.append(Owner(running, client, ownership, page))
            running.call(lambda pool: setattr(pool.running, "page", page))
            running.call(lambda _: ownership.install())
            try:
                yield owners[0]
            finally:
                running.call(lambda _: ownership.uninstall())
    assert [getattr(owner, name) for owner, name in WRAPPED] == before


def test_greenlets_and_what_they_start_belong_to_the_job(owner: Owner) -> None:
    def grandchild() -> None:
        owner.see()
        gevent.spawn(owner.see).join()

    assert owner.run(lambda: gevent.spawn(grandchild).join()) == [b"mine", b"mine"]
    assert owner.run(lambda: gevent.pool.Group().map(lambda _: owner.see(), [1, 2])) == [b"mine", b"mine"]
    assert owner.run(lambda: gevent.spawn_later(0.001, owner.see).join()) == [b"mine"]


def test_what_a_raw_greenlet_starts_belongs_to_the_job_to_which_it_returns(owner: Owner) -> None:
    assert owner.run(lambda: greenlet.greenlet(lambda: gevent.spawn(owner.see).join()).switch()) == [b"mine"]


def test_a_greenlet_started_outside_of_jobs_belongs_to_no_job(owner: Owner) -> None:
    owner.running.call(lambda _: gevent.spawn(owner.see).join())
    assert owner.seen == [None]


def test_a_task_belongs_to_the_job_that_submitted_it_and_not_to_the_one_that_started_the_thread(owner: Owner) -> None:
    with futures.ThreadPoolExecutor(1) as executor:
        assert owner.run(lambda: executor.submit(owner.see).result(), "first") == [b"first"]
        assert owner.run(lambda: executor.submit(owner.see).result(), "second") == [b"second"]
        executor.submit(owner.see).result()
        assert owner.seen[-1] is None
        assert owner.in_native_threads() == [], "although the threads of the executor still exist"


def test_a_task_in_a_native_thread_is_on_the_page_while_it_runs(owner: Owner) -> None:
    shown: list[list[bytes]] = []

    def look() -> None:
        owner.see()
        shown.append(owner.in_native_threads())

    assert owner.run(lambda: get_hub().threadpool.apply(look)) == [b"mine"]
    assert owner.run(lambda: get_hub().threadpool.spawn(func=owner.see).get()) == [None], "by name it is not attributed"

    def in_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    assert owner.run(in_thread) == [b"mine"]
    assert shown == [[b"mine"]] * 2
    assert owner.in_native_threads() == []


def test_a_greenlet_left_behind_by_a_job_keeps_neither_its_run_nor_its_payload(owner: Owner) -> None:
    left: list[Any] = []
    owner.run(lambda: left.append(gevent.spawn(gevent.sleep, 60)))
    origin = origin_of(left[0])
    assert origin is not None
    assert (origin.unique, origin.run) == (b"mine", None)
    owner.running.call(lambda _: left[0].kill())


def test_a_function_that_was_wrapped_again_is_not_restored(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = futures.ThreadPoolExecutor
    wrapped = executor.submit

    def wrapped_again(*arguments: Any) -> Any:
        return wrapped(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(executor, "submit", wrapped_again)
        owner.running.call(lambda _: owner.ownership.uninstall())
        assert executor.submit is wrapped_again
        with executor(1) as one:
            assert owner.run(lambda: one.submit(owner.see).result()) == [None]
    # Not by monkeypatch, which would be undone before the check in the fixture.
    type.__setattr__(executor, "submit", wrapped.__wrapped__)  # type: ignore[attr-defined]
