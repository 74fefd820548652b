"""What was counted until a moment, by function; the difference of two tells what happened between them. Floor 3; pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from gearpool.metrics import GIVEN_UP


@dataclass(frozen=True, slots=True)
class Counts:
    """Runs of one function, or of all: how many, how many were given up, and their durations by bucket."""

    runs: int
    failed: int
    buckets: array[int]

    def since(self, older: Counts | None) -> Counts:
        """What was counted after ``older``."""
        if older is None:
            return self
        buckets = array("Q", (max(0, new - old) for new, old in zip(self.buckets, older.buckets, strict=True)))
        return Counts(max(0, self.runs - older.runs), max(0, self.failed - older.failed), buckets)


@dataclass(frozen=True, slots=True)
class Sample:
    """The counts of every function at one time, in seconds since the epoch; ``total`` are all functions together."""

    time: float
    functions: dict[str, Counts]
    total: Counts


def take(status: Mapping[str, Any]) -> Sample:
    """The sample in a published status."""
    functions = {name: _counts(row) for name, row in status["functions"].items()}
    buckets = array("Q", (0 for _ in range(len(status["duration_bounds"]) + 1)))
    for counts in functions.values():
        for place, count in enumerate(counts.buckets):
            buckets[place] += count
    runs = sum(counts.runs for counts in functions.values())
    failed = sum(counts.failed for counts in functions.values())
    return Sample(status["time"], functions, Counts(runs, failed, buckets))


def _counts(row: Mapping[str, Any]) -> Counts:
    outcomes = row["outcomes"]
    return Counts(
        sum(outcomes.values()), sum(outcomes.get(name, 0) for name in GIVEN_UP), array("Q", row["duration_buckets"])
    )


def quantile(share: float, buckets: Sequence[int], bounds: Sequence[float]) -> float | None:
    """The duration that this share of the runs did not exceed, estimated within its bucket; None without a run.

    Of runs in the last bucket, which has no upper bound, nothing more is known than its lower one.
    """
    cumulative = list(accumulate(buckets))
    total = cumulative[-1] if cumulative else 0
    if not total:
        return None
    rank = share * total
    place = bisect_left(cumulative, rank)
    if place >= len(bounds):
        return float(bounds[-1])
    low = bounds[place - 1] if place else 0.0
    below = cumulative[place - 1] if place else 0
    return low + (bounds[place] - low) * (rank - below) / buckets[place]
