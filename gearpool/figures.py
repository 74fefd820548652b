"""What a worker process counts, behind its page in the shared memory: exact at any time, even after kill -9. Floor 1; pure.

The worker writes, the supervisor reads; each number is written by one instruction, so none is ever seen half written. The
first word says how the memory is laid out. The worker writes it last, and the supervisor reads nothing without it: an
upgraded package may count other things than the supervisor that runs.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import Any, TypedDict

from gearpool.metrics import BOUNDS, COUNTERS_SIZE, OUTCOMES, STALL_BOUNDS, Counters, CountersSnapshot, read_counters

_STALL_BUCKETS = len(STALL_BOUNDS) + 1
_head = struct.Struct(f"=qddqqd{_STALL_BUCKETS}qq")
_LAYOUT, _TOLD_AT, _LAG, _RECONNECTS, _STALL_SEQUENCE, _STALL_SUM, _STALLS = range(7)
_NO_FUNCTION = _STALLS + _STALL_BUCKETS
"""Stalls that no function is known to have caused."""
_word = struct.Struct("=q")
_FUNCTION_SIZE = COUNTERS_SIZE + _word.size


def size(functions: int) -> int:
    """Bytes for so many functions."""
    return _head.size + functions * _FUNCTION_SIZE


def _layout(functions: int) -> int:
    return functions << 32 | len(OUTCOMES) << 24 | len(BOUNDS) << 16 | _STALL_BUCKETS << 8 | 1


class FunctionFigures(CountersSnapshot):
    """One function: its counters, and how often it blocked the event loop."""

    stalls: int


class ProcessFigures(TypedDict):
    """One process. ``functions`` is in the order of its settings.

    ``told_at`` is when the worker last looked at its gauges (``time.monotonic()``), ``stall_sequence`` the page's sequence
    number of the last stall that it has counted, ``other_stalls`` those of no known function.
    """

    functions: list[FunctionFigures]
    told_at: float
    loop_lag_s: float
    reconnects: int
    other_stalls: int
    stall_buckets: list[int]
    stall_sum_s: float
    stall_sequence: int


class Figures:
    """The worker's side.

    Args:
        memory: where they are; None for memory that nobody reads.
        offset: where they begin in it, a multiple of 8.
        functions: how many functions the process has.

    Attributes:
        functions: the counters of each, in the order of the settings.
    """

    def __init__(self, memory: Any, offset: int, functions: int) -> None:
        self._count = functions
        if memory is None or len(memory) < offset + size(functions):
            memory, offset = bytearray(size(functions)), 0
        self._use(memory, offset)
        first = offset + _head.size
        self.functions = [Counters(memory, first + number * _FUNCTION_SIZE) for number in range(functions)]
        self._words[_LAYOUT] = _layout(functions)

    def tell(self, now: float, loop_lag_s: float) -> None:
        """The gauges are being reported."""
        self._seconds[_TOLD_AT], self._seconds[_LAG] = now, loop_lag_s

    def reconnected(self) -> None:
        """A connection was made again."""
        self._words[_RECONNECTS] += 1

    def stall_began(self, function: int, sequence: int) -> None:
        """A stall of the function at this index, if there is one, was noticed. Safe in a signal handler."""
        self._words[self._stalls_of(function)] += 1
        self._words[_STALL_SEQUENCE] = sequence

    def stall_ended(self, seconds: float) -> None:
        """A stall is over."""
        self._words[_STALLS + bisect_left(STALL_BOUNDS, seconds)] += 1
        self._seconds[_STALL_SUM] += seconds

    def detach(self) -> None:
        """In a forked copy of the process: write where nobody reads."""
        self._use(bytearray(size(self._count)), 0)
        for counters in self.functions:
            counters.detach()

    def _stalls_of(self, function: int) -> int:
        if function >= self._count:
            return _NO_FUNCTION
        return (_head.size + function * _FUNCTION_SIZE + COUNTERS_SIZE) // _word.size

    def _use(self, memory: Any, offset: int) -> None:
        view = memoryview(memory)[offset : offset + size(self._count)]
        self._words, self._seconds = view.cast("q"), view.cast("d")


def read(memory: Any, offset: int, functions: int) -> ProcessFigures | None:
    """What a process has counted; None if it has not begun to, or counts otherwise."""
    if len(memory) < offset + size(functions):
        return None
    head = _head.unpack_from(memory, offset)
    if head[_LAYOUT] != _layout(functions):
        return None
    first = offset + _head.size
    return {
        "functions": [_read_function(memory, first + number * _FUNCTION_SIZE) for number in range(functions)],
        "told_at": head[_TOLD_AT],
        "loop_lag_s": head[_LAG],
        "reconnects": head[_RECONNECTS],
        "other_stalls": head[_NO_FUNCTION],
        "stall_buckets": list(head[_STALLS:_NO_FUNCTION]),
        "stall_sum_s": head[_STALL_SUM],
        "stall_sequence": head[_STALL_SEQUENCE],
    }


def runs(figures: ProcessFigures) -> int:
    """How many runs of jobs a process has counted."""
    return sum(sum(each["outcomes"].values()) for each in figures["functions"])


def _read_function(memory: Any, offset: int) -> FunctionFigures:
    return {**read_counters(memory, offset), "stalls": _word.unpack_from(memory, offset + COUNTERS_SIZE)[0]}
