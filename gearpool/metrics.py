"""Counters of one function in one process: plain ints, read once a second. Floor 1; pure.

Law: nothing is counted twice and nothing ever falls; whoever merges the snapshots of several processes adds them up.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TypedDict

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds in seconds of the duration histogram's buckets; one more bucket holds the rest."""

QUICK_S = BOUNDS[0]

OUTCOMES = (
    "complete",
    "failed",
    "exception",
    "skipped",
    "timeout",
    "retried",
    "dead_letter",
    "poisoned",
    "orphaned",
    "requeued",
)
"""Ways a run of a job ends. ``requeued`` was handed back to the server; ``orphaned`` had nobody left to take its result."""


class FunctionSnapshot(TypedDict):
    """What a process says of one function; ``duration_buckets`` are not cumulative and in the order of BOUNDS."""

    outcomes: dict[str, int]
    duration_buckets: list[int]
    duration_sum_s: float


class Counters:
    """One function's counters."""

    __slots__ = ("buckets", "outcomes", "sum_s")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.sum_s = 0.0

    def quick(self, jobs: int, seconds: float) -> None:
        """``jobs`` runs completed in under QUICK_S each and ``seconds`` in all."""
        self.outcomes["complete"] += jobs
        self.buckets[0] += jobs
        self.sum_s += seconds

    def ended(self, outcome: str, seconds: float) -> None:
        """One run ended after ``seconds``."""
        self.outcomes[outcome] += 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.sum_s += seconds

    def snapshot(self) -> FunctionSnapshot:
        """The counters as they are now."""
        return {
            "outcomes": dict(self.outcomes),
            "duration_buckets": list(self.buckets),
            "duration_sum_s": self.sum_s,
        }
