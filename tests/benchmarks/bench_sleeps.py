"""Handlers that wait: concurrency, speed and memory."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.machine import Row, background, daemon, load, native, one_core_gearmand, resident_bytes

FUNCTIONS = """  second: {handler: bench_handlers.second, timeout: 30s}
  nap: {handler: bench_handlers.nap, timeout: 30s}
"""


def rows() -> Iterator[Row]:
    """Measure 10 000 concurrent sleeps, and sleeps of a millisecond."""
    with one_core_gearmand() as server:
        with daemon(server.port, FUNCTIONS, core=None, concurrency=10_000) as site:
            load(server.port, "second", 100, 100)
            seen = load(server.port, "second", 10_000, 10_000)
            memory = max(resident_bytes(pid) for pid in site.workers())
            yield Row("10 000 jobs of 1 s at once / ideal", 10_000 / seen.rate, "<= 1.3", f"{10_000 / seen.rate:.2f} s")
            yield Row("10 000 jobs of 1 s at once, MB", memory / 1e6, "<= 120", "resident, one process")
        with daemon(server.port, FUNCTIONS, concurrency=1000):
            naps = load(server.port, "nap", 100_000, 1000)
        with background(native("libgearman_worker"), str(server.port)):
            theirs = load(server.port, "echo", 100_000, 1000)
        yield Row(
            "1 ms naps, 1000 slots, W=1000 / libgearman's echo", naps.rate / theirs.rate, ">= 2",
            f"{naps.rate:.0f}/s, {theirs.rate:.0f}/s",
        )  # fmt: skip
