"""The last hour of every function in steps of ten seconds, for charts. Floor 3; pure.

Memory is bounded: eight single-precision numbers a step and function, about 12 KiB a function; a function that is gone is
forgotten after the hour, and of more than MAX_FUNCTIONS the further ones have no history.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from gearpool.web.samples import Counts, Sample, quantile

STEP_S = 10.0
STEPS = 360
COARSE = 6
"""Steps of the overview of all functions, which has one point a minute."""
MAX_FUNCTIONS = 2000
NAMES = ("rate", "failed", "p50", "p95", "p99", "in_progress", "slots", "queued")

_NAN = math.nan
_QUANTILES = (0.5, 0.95, 0.99)

Row = dict[str, Any]


class _Series:
    """The numbers of one function, in rings that all have the same position."""

    __slots__ = ("last_step", "rings")

    def __init__(self) -> None:
        self.rings = [array("f", [_NAN]) * STEPS for _ in NAMES]
        self.last_step = -1

    def put(self, step: int, values: Sequence[float | None]) -> None:
        self.last_step = step
        for ring, value in zip(self.rings, values, strict=True):
            ring[step % STEPS] = _NAN if value is None else value

    def skip(self, step: int) -> None:
        """Nothing is known of it at this step."""
        for ring in self.rings:
            ring[step % STEPS] = _NAN

    def values(self, name: str, step: int, count: int) -> list[float | None]:
        """The last ``count`` values up to ``step``, the oldest first; None is not known."""
        ring = self.rings[NAMES.index(name)]
        found = [ring[at % STEPS] for at in range(step - count + 1, step + 1)]
        return [None if math.isnan(value) else float(f"{value:.4g}") for value in found]


class History:
    """Takes a sample every `STEP_S` seconds."""

    def __init__(self) -> None:
        self._step = -1
        self._last: Sample | None = None
        self._end = 0.0
        self._functions: dict[str, _Series] = {}
        self._total = _Series()

    def add(self, sample: Sample, status: Mapping[str, Any], queued: Mapping[str, int]) -> None:
        """The newest sample with its status; ``queued`` are the jobs that wait on the servers, by function.

        A sample that comes sooner than `STEP_S` after the last one is ignored.
        """
        last = self._last
        # A publication may come a little early.
        if last is not None and sample.time - last.time < STEP_S - 0.5:
            return
        self._last = sample
        if last is None or sample.time <= last.time:
            return
        self._step += 1
        self._end = sample.time
        elapsed, bounds = sample.time - last.time, status["duration_bounds"]
        for name, counts in sample.functions.items():
            series = self._functions.get(name)
            if series is None:
                if len(self._functions) >= MAX_FUNCTIONS:
                    continue
                series = self._functions[name] = _Series()
            row = status["functions"][name]
            gauges = [row["in_progress"], row["slots"], queued.get(name)]
            series.put(self._step, [*_figures(counts.since(last.functions.get(name)), elapsed, bounds), *gauges])
        slots = status.get("slots") or {}
        self._total.put(
            self._step,
            [
                *_figures(sample.total.since(last.total), elapsed, bounds),
                status.get("in_progress"),
                slots.get("limit"),
                sum(queued.values()) if queued else None,
            ],
        )
        for name in [name for name in self._functions if name not in sample.functions]:
            self._functions[name].skip(self._step)
            if self._step - self._functions[name].last_step >= STEPS:
                del self._functions[name]

    def overview(self) -> Row:
        """The rate of every function, a point a minute, and everything of all together."""
        count = min(self._step + 1, STEPS)
        return {
            "step_s": STEP_S * COARSE,
            "end": self._end,
            "functions": {
                name: {"rate": _averages(series.values("rate", self._step, count))}
                for name, series in self._functions.items()
            },
            "total": self._whole(self._total),
        }

    def of(self, function: str) -> Row | None:
        """Everything of one function; None if it has no history."""
        series = self._functions.get(function)
        return None if series is None else self._whole(series)

    def empty(self) -> Row:
        """What `of` returns for a function of which nothing is known yet."""
        return {"step_s": STEP_S, "end": self._end, **{name: [] for name in NAMES}}

    def _whole(self, series: _Series) -> Row:
        count = min(self._step + 1, STEPS)
        return {
            "step_s": STEP_S,
            "end": self._end,
            **{name: series.values(name, self._step, count) for name in NAMES},
        }


def _figures(counts: Counts, elapsed_s: float, bounds: Sequence[float]) -> list[float | None]:
    return [
        counts.runs / elapsed_s,
        counts.failed / elapsed_s,
        *(quantile(share, counts.buckets, bounds) for share in _QUANTILES),
    ]


def _averages(values: list[float | None]) -> list[float | None]:
    """One value for every `COARSE`, counted from the newest."""
    found: list[float | None] = []
    for end in range(len(values), 0, -COARSE):
        known = [value for value in values[max(0, end - COARSE) : end] if value is not None]
        found.append(float(f"{sum(known) / len(known):.4g}") if known else None)
    return found[::-1]
