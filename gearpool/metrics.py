"""Counters of one function in one process, in memory that another process may read at any time. Floor 1; pure.

Each run is counted once, in the cell of its outcome and its duration; sums over rows are the outcomes, sums over columns
the histogram. So the two always agree, even if the process is killed between any two instructions. Counters never fall,
so those of several processes can be added up.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from operator import add
from typing import Any, TypedDict

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds in seconds of the duration histogram's buckets; one more bucket holds the rest."""
STALL_BOUNDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""The same for the times in which an event loop was blocked."""

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
"""Ways a run of a job ends. ``requeued`` was handed back to the server; the result of ``orphaned`` could not be reported."""

GIVEN_UP = ("failed", "exception", "timeout", "dead_letter", "poisoned")
"""The outcomes that count as failures: the run ended without a result, and the job is not run again."""

_BUCKETS = len(BOUNDS) + 1
_COLUMNS = _BUCKETS + 1
"""The last column has no duration."""
_ROWS = {outcome: number * _COLUMNS for number, outcome in enumerate(OUTCOMES)}
_SLICES = [(outcome, slice(row, row + _COLUMNS)) for outcome, row in _ROWS.items()]
_CELLS = len(OUTCOMES) * _COLUMNS
_cells = struct.Struct(f"={_CELLS}q")
_sum = struct.Struct("=d")
COUNTERS_SIZE = _cells.size + _sum.size
"""Bytes of the counters of one function."""


class CountersSnapshot(TypedDict):
    """What a process has counted for one function; ``duration_buckets`` are not cumulative, in the order of BOUNDS."""

    outcomes: dict[str, int]
    duration_buckets: list[int]
    duration_sum_s: float


class FunctionSnapshot(CountersSnapshot, total=False):
    """One function in one process: what it has counted, and its state now."""

    in_progress: int
    slots: int
    waiting_retry: int
    paused: bool
    breaker_open: bool


class WorkerSnapshot(TypedDict, total=False):
    """One worker process: counters, which only grow, and its state now.

    ``servers`` tells which are connected, ``slots`` the ``limit`` and how many are ``used``.
    """

    functions: dict[str, FunctionSnapshot]
    servers: dict[str, bool]
    slots: dict[str, int]
    reconnects: int
    in_progress: int
    quiet: bool


class Counters:
    """One function's counters.

    The numbers are kept twice, as plain ones and in memory: reading them back would cost more than a job may.

    Args:
        memory: where they are; without it nobody else reads them.
        offset: where they begin in it, a multiple of 8.
    """

    __slots__ = ("_cells", "_counts", "_sum", "_sum_s")

    def __init__(self, memory: Any = None, offset: int = 0) -> None:
        self._counts = [0] * _CELLS
        self._sum_s = 0.0
        self._use(bytearray(COUNTERS_SIZE) if memory is None else memory, offset if memory is not None else 0)

    def quick(self, jobs: int, seconds: float) -> None:
        """``jobs`` runs completed in under QUICK_S each and ``seconds`` in all."""
        counts = self._counts
        self._cells[0] = counts[0] = counts[0] + jobs
        self._sum[0] = self._sum_s = self._sum_s + seconds

    def ended(self, outcome: str, seconds: float) -> None:
        """One run ended after ``seconds``."""
        counts = self._counts
        cell = _ROWS[outcome] + bisect_left(BOUNDS, seconds)
        self._cells[cell] = counts[cell] = counts[cell] + 1
        self._sum[0] = self._sum_s = self._sum_s + seconds

    def untimed(self, outcome: str) -> None:
        """Count an outcome of which no duration is known."""
        cell = _ROWS[outcome] + _BUCKETS
        self._cells[cell] = self._counts[cell] = self._counts[cell] + 1

    def detach(self) -> None:
        """In a forked copy of the process: count where nobody reads."""
        self._use(bytearray(COUNTERS_SIZE), 0)

    def snapshot(self) -> CountersSnapshot:
        """The counters as they are now."""
        return _snapshot(self._counts, self._sum_s)

    def _use(self, memory: Any, offset: int) -> None:
        view = memoryview(memory)
        self._cells = view[offset : offset + _cells.size].cast("q")
        self._sum = view[offset + _cells.size : offset + COUNTERS_SIZE].cast("d")


def read_counters(memory: Any, offset: int) -> CountersSnapshot:
    """The counters that another process has in ``memory``."""
    return _snapshot(_cells.unpack_from(memory, offset), _sum.unpack_from(memory, offset + _cells.size)[0])


def _snapshot(cells: Any, sum_s: float) -> CountersSnapshot:
    outcomes: dict[str, int] = {}
    buckets = [0] * _COLUMNS
    for outcome, row in _SLICES:
        counts = cells[row]
        outcomes[outcome] = count = sum(counts)
        if count:  # most outcomes never happen, and this is read for each function of each worker
            buckets = list(map(add, buckets, counts))
    return {"outcomes": outcomes, "duration_buckets": buckets[:_BUCKETS], "duration_sum_s": sum_s}
