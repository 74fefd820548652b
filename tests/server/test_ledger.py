"""The ledger by itself: what `test_clients` and `test_workers` do not reach through packets."""

from __future__ import annotations

import pytest

from gearpool.server.ledger import Ledger, QueueFullError
from gearpool.server.records import NORMAL, FunctionQueue, Peer
from tests.server.law import check


def ledger(woken: list[FunctionQueue] | None = None) -> Ledger:
    return Ledger(b"H:h:", 7, 0, (woken if woken is not None else []).append)


def peer() -> Peer:
    return Peer([], b"", 0, 1 << 20)


def test_handles_count_from_the_first_number() -> None:
    book = ledger()
    queue = book.function(b"f")
    assert [book.submit(queue, b"", b"", NORMAL, None).handle for _ in range(2)] == [b"H:h:7", b"H:h:8"]


def test_a_submission_wakes_only_where_somebody_sleeps() -> None:
    woken: list[FunctionQueue] = []
    book = ledger(woken)
    queue = book.function(b"f")
    book.submit(queue, b"", b"", NORMAL, None)
    assert woken == []
    queue.sleepers[peer()] = None
    book.submit(queue, b"", b"", NORMAL, None)
    assert woken == [queue]


def test_a_full_queue_refuses() -> None:
    book = ledger()
    queue = book.function(b"f")
    queue.limits = (0, 1, 0)
    book.submit(queue, b"u", b"", NORMAL, None)
    with pytest.raises(QueueFullError):
        book.submit(queue, b"v", b"", NORMAL, None)
    book.submit(queue, b"v", b"", 0, None)
    check(book)


def test_a_thousand_scheduled_and_cancelled_jobs_do_not_pile_up() -> None:
    book = ledger()
    queue = book.function(b"f")
    keep = book.submit(queue, b"", b"", NORMAL, None, due=5.0)
    for number in range(1000):
        book.cancel(book.submit(queue, b"", b"", NORMAL, None, due=10.0 + number))
    check(book)
    assert len(book._schedule) < 100
    book.release_due(1e9)
    check(book)
    worker = peer()
    queue.workers[worker] = None
    worker.queues.append(queue)
    assert book.take(worker) is keep
    assert book.take(worker) is None


def test_a_thousand_clients_that_come_and_go_do_not_pile_up() -> None:
    book = ledger()
    queue = book.function(b"f")
    for _ in range(1000):
        client = peer()
        book.leave(book.submit(queue, b"u", b"", NORMAL, client), client)
    check(book)
    assert book.jobs == {}
    assert len(queue.lanes[NORMAL]) < 100


def test_a_job_nobody_wants_ends_when_it_is_handed_back() -> None:
    book = ledger()
    queue = book.function(b"f")
    client, worker = peer(), peer()
    job = book.submit(queue, b"u", b"", NORMAL, client)
    queue.workers[worker] = None
    worker.queues.append(queue)
    assert book.take(worker) is job
    book.leave(job, client)
    assert book.give_back(job)
    check(book)
    assert book.jobs == {}
    assert worker.running == {}


def test_a_function_with_jobs_or_workers_is_not_dropped() -> None:
    book = ledger()
    queue = book.function(b"f")
    job = book.submit(queue, b"", b"", NORMAL, None, due=10.0)
    assert not book.drop(queue)
    book.cancel(job)
    queue.workers[peer()] = None
    assert not book.drop(queue)
    queue.workers.clear()
    assert book.drop(queue)
    assert book.functions == {}
