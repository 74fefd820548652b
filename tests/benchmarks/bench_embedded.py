"""The embedded job server on its own against gearmand: the same C worker and the same load, on one core.

The goals are floors that a noisy machine keeps, a tenth or so below what was measured.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.machine import Row, background, load, native, one_core_gearmand, pinned, resident_bytes

ROUNDS = 3
ECHOES = 200_000
SUBMISSIONS = 200_000
QUEUED = 1_000_000
QUEUED_THERE = 200_000
"""gearmand's hash table has 991 buckets: a million jobs would take it minutes."""
SIZE = 8
"""In addition to the load generator's eight bytes, which makes a payload of 16."""
DURABLE = {100: (20_000, 1_000), 1000: (50_000, 2_000)}
"""Durable submissions by window: the number sent to ours, and to gearmand, which commits each job separately."""


class Place(NamedTuple):
    """A job server under test."""

    port: int
    pid: int


@contextlib.contextmanager
def embedded(*options: str) -> Iterator[Place]:
    """Run ``gearpool server`` on the shared core."""
    argv = pinned(sys.executable, "-m", "gearpool", "server", "--listen", "127.0.0.1:0", *options)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("gearpool server did not start")
            yield Place(int(line.rpartition(":")[2]), process.pid)
        finally:
            process.terminate()


@contextlib.contextmanager
def gearmand(*options: str) -> Iterator[Place]:
    """Run gearmand on the shared core."""
    with one_core_gearmand(*options) as server:
        assert server.process is not None
        yield Place(server.port, server.process.pid)


def rows() -> Iterator[Row]:
    """Measure echo, submissions, memory and durable submissions."""
    yield from _echo()
    yield from _queueing()
    for window, (ours, theirs) in DURABLE.items():
        yield _durable(window, ours, theirs)


def _echo() -> Iterator[Row]:
    ours, theirs, crowded = [], [], []
    for _ in range(ROUNDS):
        with embedded() as place:
            ours.append(_echo_rate(place))
            load(place.port, "waiting", QUEUED, 1000, SIZE, background=True)
            crowded.append(_echo_rate(place))
        with gearmand() as place:
            theirs.append(_echo_rate(place))
    yield Row(
        "embedded: echo, W=1000 / gearmand", _ratio(ours, theirs), ">= 0.35", f"{_k(ours)} against {_k(theirs)} jobs/s"
    )
    yield Row("embedded: echo beside 1 M queued jobs / none", _ratio(crowded, ours), ">= 0.8", f"{_k(crowded)} jobs/s")


def _ratio(these: list[float], those: list[float]) -> float:
    return median(one / other for one, other in zip(these, those, strict=True))


def _echo_rate(place: Place) -> float:
    with background(native("ceiling_worker"), str(place.port), "1000"):
        return load(place.port, "echo", ECHOES, 1000, SIZE).rate


def _queueing() -> Iterator[Row]:
    with embedded() as place:
        mine = _queue(place, QUEUED)
    with gearmand() as place:
        theirs = _queue(place, QUEUED_THERE)
    detail = f"{mine.empty / 1000:.0f}k against {theirs.empty / 1000:.0f}k jobs/s"
    yield Row("embedded: submissions to an empty queue / gearmand", mine.empty / theirs.empty, ">= 0.4", detail)
    detail = f"{mine.full / 1000:.0f}k jobs/s"
    yield Row("embedded: submissions, 1 M queued / empty", mine.full / mine.empty, ">= 0.9", detail)
    detail += f" against {theirs.full / 1000:.1f}k"
    yield Row("embedded: at 1 M / gearmand at 200 k queued", mine.full / theirs.full, ">= 5", detail)
    detail = f"{mine.bytes_each:.0f} B against {theirs.bytes_each:.0f} B"
    yield Row("embedded: memory of a queued job / gearmand", mine.bytes_each / theirs.bytes_each, "<= 0.5", detail)


class Queue(NamedTuple):
    """Return submissions per second with an empty and a full queue, and bytes per queued job."""

    empty: float
    full: float
    bytes_each: float


def _queue(place: Place, jobs: int) -> Queue:
    before = resident_bytes(place.pid)
    # The first tenth counts as empty; with the jobs submitted after it, ``jobs`` are queued.
    empty = load(place.port, "waiting", jobs // 10, 1000, SIZE, background=True).rate
    load(place.port, "waiting", jobs - jobs // 10, 1000, SIZE, background=True)
    bytes_each = (resident_bytes(place.pid) - before) / jobs
    full = load(place.port, "waiting", jobs // 10, 1000, SIZE, background=True).rate
    return Queue(empty, full, bytes_each)


def _durable(window: int, mine: int, others: int) -> Row:
    def ours(path: Path) -> contextlib.AbstractContextManager[Place]:
        return embedded("--store", str(path))

    def theirs(path: Path) -> contextlib.AbstractContextManager[Place]:
        return gearmand("--queue-type", "libsqlite3", "--libsqlite3-db", str(path))

    one, other = _durable_rate(ours, mine, window), _durable_rate(theirs, others, window)
    goal = ">= 25" if window == 100 else ">= 40"
    detail = f"{one / 1000:.0f}k against {other / 1000:.1f}k jobs/s"
    return Row(f"embedded: durable submissions, W={window} / gearmand + SQLite", one / other, goal, detail)


def _durable_rate(make: Callable[[Path], contextlib.AbstractContextManager[Place]], jobs: int, window: int) -> float:
    with tempfile.TemporaryDirectory() as folder, make(Path(folder, "jobs.sqlite")) as place:
        return load(place.port, "kept", jobs, window, SIZE, background=True).rate


def _k(rates: list[float]) -> str:
    return "/".join(f"{rate / 1000:.0f}k" for rate in rates)
