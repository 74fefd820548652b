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


class Place:
    """A pool whose only function runs what a test gives it, and the ownership of what that starts."""

    def __init__(self, running: Serving, client: Client, ownership: Ownership, page: Page) -> None:
        self.running = running
        self.client = client
        self.ownership = ownership
        self.page = page
        self.seen: list[Any] = []
        self.do: Callable[[], object] = lambda: None

    def see(self) -> None:
        """Note whose the calling code is."""
        origin = origin_of(gevent.getcurrent())
        self.seen.append(None if origin is None else origin.unique)

    def run(self, do: Callable[[], object], unique: str = "mine") -> list[Any]:
        """What was seen while ``do`` ran as a job."""
        self.seen.clear()
        self.do = do
        self.client.submit_job("work", b"", unique=unique, timeout=20)
        return list(self.seen)

    def in_native_threads(self) -> list[bytes]:
        return [row.unique for row in self.page.jobs.rows() if row.thread]


@pytest.fixture
def place() -> Iterator[Place]:
    before = [getattr(owner, name) for owner, name in WRAPPED]
    places: list[Place] = []

    def work(arg: bytes, job: Job) -> bytes:
        places[0].do()
        return b""

    with job_server() as server, serving([function("work", work)], server.address) as running:
        page = Page.private()
        ownership = running.call(lambda pool: Ownership(pool, page))
        with Client(server.address) as client:
            places.append(Place(running, client, ownership, page))
            running.call(lambda pool: setattr(pool, "page", page))
            running.call(lambda _: ownership.install())
            try:
                yield places[0]
            finally:
                running.call(lambda _: ownership.uninstall())
    assert [getattr(owner, name) for owner, name in WRAPPED] == before


def test_greenlets_and_their_greenlets_are_the_job_s(place: Place) -> None:
    def grandchild() -> None:
        place.see()
        gevent.spawn(place.see).join()

    assert place.run(lambda: gevent.spawn(grandchild).join()) == [b"mine", b"mine"]
    assert place.run(lambda: gevent.pool.Group().map(lambda _: place.see(), [1, 2])) == [b"mine", b"mine"]
    assert place.run(lambda: gevent.spawn_later(0.001, place.see).join()) == [b"mine"]


def test_what_a_raw_greenlet_starts_is_the_job_s_that_it_returns_to(place: Place) -> None:
    assert place.run(lambda: greenlet.greenlet(lambda: gevent.spawn(place.see).join()).switch()) == [b"mine"]


def test_what_is_started_outside_of_jobs_is_nobody_s(place: Place) -> None:
    place.running.call(lambda _: gevent.spawn(place.see).join())
    assert place.seen == [None]


def test_a_task_is_the_job_s_that_gave_it_and_not_that_of_who_started_the_thread(place: Place) -> None:
    with futures.ThreadPoolExecutor(1) as executor:
        assert place.run(lambda: executor.submit(place.see).result(), "first") == [b"first"]
        assert place.run(lambda: executor.submit(place.see).result(), "second") == [b"second"]
        executor.submit(place.see).result()
        assert place.seen[-1] is None
        assert place.in_native_threads() == [], "although its threads live on"


def test_what_runs_in_a_native_thread_is_shown_as_long_as_it_runs(place: Place) -> None:
    shown: list[list[bytes]] = []

    def look() -> None:
        place.see()
        shown.append(place.in_native_threads())

    assert place.run(lambda: get_hub().threadpool.apply(look)) == [b"mine"]
    assert place.run(lambda: get_hub().threadpool.spawn(func=place.see).get()) == [None], "by name it is not seen"

    def in_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    assert place.run(in_thread) == [b"mine"]
    assert shown == [[b"mine"]] * 2
    assert place.in_native_threads() == []


def test_what_a_job_left_behind_keeps_neither_its_run_nor_its_payload(place: Place) -> None:
    left: list[Any] = []
    place.run(lambda: left.append(gevent.spawn(gevent.sleep, 60)))
    origin = origin_of(left[0])
    assert origin is not None
    assert (origin.unique, origin.run) == (b"mine", None)
    place.running.call(lambda _: left[0].kill())


def test_a_function_that_somebody_has_wrapped_again_stays_theirs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = futures.ThreadPoolExecutor
    ours = executor.submit

    def theirs(*arguments: Any) -> Any:
        return ours(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(executor, "submit", theirs)
        place.running.call(lambda _: place.ownership.uninstall())
        assert executor.submit is theirs
        with executor(1) as one:
            assert place.run(lambda: one.submit(place.see).result()) == [None]
    # Not by monkeypatch: that would be undone before the fixture looks.
    type.__setattr__(executor, "submit", ours.__wrapped__)  # type: ignore[attr-defined]
