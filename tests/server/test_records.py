"""Queues: order, tombstones and counts."""

from __future__ import annotations

from gearpool.server.records import HIGH, LOW, NORMAL, FunctionQueue, Job


def put(queue: FunctionQueue, priority: int, data: bytes) -> Job:
    job = Job(b"H:" + data, queue, b"", None, data, priority, True, ())
    queue.lanes[priority].append(job)
    return job


def test_pop_takes_the_highest_priority_first_in_first_out() -> None:
    queue = FunctionQueue(b"f")
    for priority, data in ((LOW, b"l"), (NORMAL, b"n1"), (NORMAL, b"n2"), (HIGH, b"h")):
        put(queue, priority, data)
    popped = [queue.pop() for _ in range(5)]
    assert [job.data if job else None for job in popped] == [b"h", b"n1", b"n2", b"l", None]


def test_pop_priority_takes_only_that_one() -> None:
    queue = FunctionQueue(b"f")
    low = put(queue, LOW, b"l")
    assert queue.pop_priority(HIGH) is None
    assert queue.pop_priority(LOW) is low
    assert queue.pop_priority(LOW) is None


def test_the_buried_are_neither_popped_nor_counted() -> None:
    queue = FunctionQueue(b"f")
    dead, alive = put(queue, NORMAL, b"1"), put(queue, NORMAL, b"2")
    queue.bury(dead)
    assert queue.queued(NORMAL) == queue.total == 1
    assert [queue.ready, queue.pop(), queue.ready] == [True, alive, False]
    assert queue.pop() is None
    assert queue.queued(NORMAL) == queue.total == 0


def test_a_lane_of_tombstones_is_swept_and_stays_in_order() -> None:
    queue = FunctionQueue(b"f")
    jobs = [put(queue, NORMAL, b"%d" % number) for number in range(1000)]
    for job in jobs:
        if int(job.data) % 10:
            queue.bury(job)
    assert queue.queued(NORMAL) == 100
    assert len(queue.lanes[NORMAL]) < 250, "tombstones do not pile up"
    left = [queue.pop() for _ in range(100)]
    assert [job.data for job in left if job] == [b"%d" % number for number in range(0, 1000, 10)]
    assert queue.pop() is None
    assert queue.total == 0


def test_scheduled_jobs_count_as_normal_but_are_not_ready() -> None:
    queue = FunctionQueue(b"f")
    queue.scheduled = 2
    assert (queue.queued(HIGH), queue.queued(NORMAL), queue.queued(LOW)) == (0, 2, 0)
    assert queue.total == 2
    assert not queue.ready
