"""Adds up what all workers have counted, including those that have ended. Floor 4; pure.

Invariant: counters never fall when a worker is replaced, because its last counts are kept. Functions are added up by name:
their order may differ from one configuration to the next.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypedDict

from gearpool.figures import FunctionFigures, ProcessFigures
from gearpool.metrics import BOUNDS, OUTCOMES, STALL_BOUNDS


class Counts(TypedDict):
    """Counters of several workers. ``stalls`` has a function "" if some are of none that is known."""

    functions: dict[str, FunctionFigures]
    stalls: dict[str, int]
    stall_buckets: list[int]
    stall_sum_s: float
    reconnects: int


class Totals:
    """Keeps the sum of all workers that have ended; `view` adds the running ones."""

    def __init__(self) -> None:
        self._past = _nothing()

    def add_ended(self, functions: Sequence[str], figures: ProcessFigures | None) -> None:
        """Add what a worker with these functions had counted when it ended."""
        if figures is not None:
            self._past = _added(self._past, functions, figures)

    def add_stall(self, function: str, seconds: float, *, counted: bool) -> None:
        """Add a stall that ended with its process, which may have ``counted`` that it began."""
        stalls, buckets = self._past["stalls"], list(self._past["stall_buckets"])
        buckets[bisect_left(STALL_BOUNDS, seconds)] += 1
        if not counted:
            stalls = {**stalls, function: stalls.get(function, 0) + 1}
        self._past = {
            **self._past,
            "stalls": stalls,
            "stall_buckets": buckets,
            "stall_sum_s": self._past["stall_sum_s"] + seconds,
        }

    def view(self, workers: Iterable[tuple[Sequence[str], ProcessFigures | None]] = ()) -> Counts:
        """The counts of all workers, running and ended."""
        total = self._past
        for functions, figures in workers:
            if figures is not None:
                total = _added(total, functions, figures)
        return total


def _nothing() -> Counts:
    buckets = [0] * (len(STALL_BOUNDS) + 1)
    return {"functions": {}, "stalls": {}, "stall_buckets": buckets, "stall_sum_s": 0.0, "reconnects": 0}


def no_runs() -> FunctionFigures:
    """A function that has never run."""
    buckets = [0] * (len(BOUNDS) + 1)
    return {"outcomes": dict.fromkeys(OUTCOMES, 0), "duration_buckets": buckets, "duration_sum_s": 0.0, "stalls": 0}


def _added(total: Counts, names: Sequence[str], figures: ProcessFigures) -> Counts:
    functions, stalls = dict(total["functions"]), dict(total["stalls"])
    for name, counted in zip(names, figures["functions"], strict=False):
        before = functions.get(name)
        functions[name] = counted if before is None else _sum(before, counted)
        if counted["stalls"]:
            stalls[name] = stalls.get(name, 0) + counted["stalls"]
    if figures["other_stalls"]:
        stalls[""] = stalls.get("", 0) + figures["other_stalls"]
    return {
        "functions": functions,
        "stalls": stalls,
        "stall_buckets": _each(total["stall_buckets"], figures["stall_buckets"]),
        "stall_sum_s": total["stall_sum_s"] + figures["stall_sum_s"],
        "reconnects": total["reconnects"] + figures["reconnects"],
    }


def _sum(one: FunctionFigures, other: FunctionFigures) -> FunctionFigures:
    mine, theirs = one["outcomes"], other["outcomes"]
    return {
        "outcomes": {name: mine.get(name, 0) + theirs.get(name, 0) for name in {**mine, **theirs}},
        "duration_buckets": _each(one["duration_buckets"], other["duration_buckets"]),
        "duration_sum_s": one["duration_sum_s"] + other["duration_sum_s"],
        "stalls": one["stalls"] + other["stalls"],
    }


def _each(one: list[int], other: list[int]) -> list[int]:
    return [mine + theirs for mine, theirs in zip(one, other, strict=True)]
