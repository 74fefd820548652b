"""How fast and how well functions run now: jobs a second over 5 s, failures and durations over 5 min. Floor 3; pure."""

from __future__ import annotations

from array import array
from collections import deque
from typing import Any

from gearpool.web.samples import Counts, Sample, quantile

NOW_S = 5.0
WINDOW_S = 300.0
KEEP_EVERY_S = 10.0

Row = dict[str, Any]


class Rates:
    """Takes a sample each second, keeps those of the last seconds, and one every ten seconds for five minutes."""

    def __init__(self) -> None:
        self._recent: deque[Sample] = deque()
        self._kept: deque[Sample] = deque()
        self._bounds: list[float] = []

    def add(self, sample: Sample, bounds: list[float]) -> None:
        """The newest sample; ``bounds`` are those of its buckets."""
        self._bounds = bounds
        self._recent.append(sample)
        while len(self._recent) > 2 and self._recent[1].time <= sample.time - NOW_S:
            self._recent.popleft()
        if not self._kept or sample.time - self._kept[-1].time >= KEEP_EVERY_S:
            self._kept.append(sample)
            while len(self._kept) > 2 and self._kept[1].time <= sample.time - WINDOW_S:
                self._kept.popleft()

    def functions(self) -> dict[str, Row]:
        """A row for each function."""
        if not self._recent:
            return {}
        newest, recent, oldest = self._recent[-1], self._recent[0], self._kept[0]
        elapsed = newest.time - recent.time
        return {
            name: self._row(counts, recent.functions.get(name), oldest.functions.get(name), elapsed)
            for name, counts in newest.functions.items()
        }

    def total(self) -> Row:
        """The row of all functions together."""
        if not self._recent:
            nothing = Counts(0, 0, array("Q"))
            return self._row(nothing, nothing, nothing, 0.0)
        newest, recent = self._recent[-1], self._recent[0]
        return self._row(newest.total, recent.total, self._kept[0].total, newest.time - recent.time)

    def _row(self, newest: Counts, recent: Counts | None, oldest: Counts | None, elapsed_s: float) -> Row:
        window = newest.since(oldest)
        runs = newest.since(recent).runs
        return {
            "now": round(runs / elapsed_s, 3) if elapsed_s > 0 else 0.0,
            "runs_5m": window.runs,
            "failed_5m": window.failed,
            **{
                name: _rounded(quantile(share, window.buckets, self._bounds))
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            },
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
