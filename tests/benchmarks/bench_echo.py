"""Echo through gearmand: gearpool against libgearman's worker and against a minimal C worker, alternating, on one core."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.benchmarks.machine import Load, Row, background, daemon, load, native, one_core_gearmand

ECHO = "  echo: {handler: bench_handlers.echo, timeout: 30s}\n"
ROUNDS = 3
JOBS = {1: 10_000, 10: 40_000, 100: 200_000, 1000: 200_000}


def rows() -> Iterator[Row]:
    """Return one row for each window."""
    with one_core_gearmand() as server:
        for window, jobs in JOBS.items():
            ours, theirs, ceiling = [], [], []
            for _ in range(ROUNDS):
                with daemon(server.port, ECHO):
                    ours.append(load(server.port, "echo", jobs, window))
                with background(native("libgearman_worker"), str(server.port)):
                    theirs.append(load(server.port, "echo", jobs, window))
                with background(native("ceiling_worker"), str(server.port), "1000"):
                    ceiling.append(load(server.port, "echo", jobs, window))
            yield from _judge(window, ours, theirs, ceiling)
        yield _large(server.port)


def _judge(window: int, ours: list[Load], theirs: list[Load], ceiling: list[Load]) -> Iterator[Row]:
    detail = f"{_rates(ours)} jobs/s against {_rates(theirs)}"
    if window == 1:
        ratio = median(mine.p50 / other.p50 for mine, other in zip(ours, theirs, strict=True))
        detail = f"{[round(each.p50) for each in ours]} us against {[round(each.p50) for each in theirs]}"
        yield Row("echo, W=1, median latency / libgearman's", ratio, "<= 1.3", detail)
        return
    goal = {10: ">= 1.4", 100: ">= 6", 1000: ">= 8"}[window]
    ratio = median(mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True))
    yield Row(f"echo, W={window} / libgearman", ratio, goal, detail)
    if window == 1000:
        ratio = median(mine.rate / other.rate for mine, other in zip(ours, ceiling, strict=True))
        yield Row("echo, W=1000 / the ceiling", ratio, ">= 0.5", f"ceiling {_rates(ceiling)}")


def _large(port: int) -> Row:
    jobs, window, size = 400, 4, 1 << 20
    with daemon(port, ECHO):
        ours = load(port, "echo", jobs, window, size)
    with background(native("ceiling_worker"), str(port), "1000"):
        ceiling = load(port, "echo", jobs, window, size)
    return Row(
        "1 MiB payloads, W=4 / the ceiling",
        ours.rate / ceiling.rate,
        ">= 0.5",
        f"{ours.rate:.0f}/s, {ceiling.rate:.0f}/s",
    )


def _rates(loads: list[Load]) -> str:
    return "/".join(f"{each.rate / 1000:.0f}k" for each in loads)
