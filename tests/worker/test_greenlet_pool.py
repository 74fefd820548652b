"""Greenlets that are reused."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.hub import get_hub

from gearpool.worker.greenlet_pool import MAX_PARKED, GreenletPool


def started() -> GreenletPool:
    pool = GreenletPool()
    pool.start()
    return pool


def run(pool: GreenletPool, *works: Callable[[], object]) -> None:
    for work in works:
        pool.run(lambda work=work: work() and None)  # type: ignore[misc]
    gevent.sleep(0.01)


def test_greenlets_are_reused() -> None:
    pool = started()
    used: list[int] = []
    for _ in range(3):
        run(pool, lambda: used.append(id(gevent.getcurrent())))
    assert len(set(used)) == 1
    pool.close()


def test_work_starts_immediately_in_the_hub_if_a_greenlet_is_parked() -> None:
    pool = started()
    run(pool, lambda: None)
    order: list[str] = []

    def in_hub() -> None:
        pool.run(lambda: order.append("work"))
        order.append("after")

    get_hub().loop.run_callback(in_hub)
    gevent.sleep(0.01)
    assert order == ["work", "after"]
    pool.close()


def test_no_more_greenlets_than_the_maximum_stay_parked_and_none_after_close() -> None:
    pool = started()
    run(pool, *[lambda: gevent.sleep(0)] * (MAX_PARKED + 20))
    gevent.sleep(0.05)
    assert len(pool.members) == MAX_PARKED
    pool.close()
    gevent.sleep(0.01)
    assert pool.members == set()
