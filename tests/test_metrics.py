"""Counters of one function, read in the process and from memory."""

from __future__ import annotations

import pytest

from gearpool.metrics import BOUNDS, COUNTERS_SIZE, OUTCOMES, Counters, CountersSnapshot, read_counters

OFFSET = 64


def counted(counters: Counters) -> CountersSnapshot:
    counters.quick(10, 0.002)
    counters.ended("complete", 0.02)
    counters.ended("failed", 4000.0)
    counters.ended("failed", BOUNDS[0])
    counters.untimed("orphaned")
    return counters.snapshot()


def test_runs_are_counted_by_outcome_and_by_duration() -> None:
    snapshot = counted(Counters())
    assert {name: count for name, count in snapshot["outcomes"].items() if count} == {
        "complete": 11, "failed": 2, "orphaned": 1,
    }  # fmt: skip
    assert (snapshot["duration_buckets"][0], snapshot["duration_buckets"][4], snapshot["duration_buckets"][-1]) == (
        11,
        1,
        1,
    )
    assert sum(snapshot["duration_buckets"]) == 13, "of the orphaned one no duration is known"
    assert snapshot["duration_sum_s"] == pytest.approx(4000.023)


def test_what_one_counts_in_memory_another_reads() -> None:
    memory = bytearray(OFFSET + COUNTERS_SIZE + 64)
    snapshot = counted(Counters(memory, OFFSET))
    assert read_counters(memory, OFFSET) == snapshot
    assert not any(memory[:OFFSET])
    assert not any(memory[OFFSET + COUNTERS_SIZE :])


def test_what_a_forked_copy_counts_is_not_in_the_memory() -> None:
    memory = bytearray(COUNTERS_SIZE)
    counters = Counters(memory, 0)
    before = counted(counters)
    counters.detach()
    counters.quick(1, 0.1)
    counters.ended("complete", 1.0)
    counters.untimed("orphaned")
    assert read_counters(memory, 0) == before


def test_every_outcome_can_be_counted() -> None:
    counters = Counters()
    for outcome in OUTCOMES:
        counters.ended(outcome, 0.0)
    assert set(counters.snapshot()["outcomes"].values()) == {1}
