"""CPU-bound handlers on two cores: whether two processes share the work although each could grab all of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.benchmarks.machine import Row, daemon, load
from tests.processes import running_gearmand

BURN = "  burn: {handler: bench_handlers.burn, timeout: 30s}\n"
JOBS = 600


def rows() -> Iterator[Row]:
    """Compare the time of two processes on two cores with half of the time of one process on one core."""
    if len(os.sched_getaffinity(0)) < 2:
        return
    with running_gearmand() as server:
        with daemon(server.port, BURN, core=None, processes=1):
            one = load(server.port, "burn", JOBS, 200)
        with daemon(server.port, BURN, core=None, processes=2):
            two = load(server.port, "burn", JOBS, 200)
        yield Row(
            "CPU-bound 10 ms, 2 processes / half of one's time", (1 / two.rate) / (0.5 / one.rate), "<= 1.15",
            f"{one.rate:.0f}/s with one, {two.rate:.0f}/s with two",
        )  # fmt: skip
