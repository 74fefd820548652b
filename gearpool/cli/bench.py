"""`gearpool bench FUNCTION`: load from one pipelined connection, measured. Floor 5."""

from __future__ import annotations

import argparse
import itertools
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gearpool import exit_codes
from gearpool.cli import servers
from gearpool.cli.values import duration, positive, size
from gearpool.errors import GearpoolError

if TYPE_CHECKING:
    from gearpool.client import Client

HELP = "Load a function from one pipelined connection and measure its throughput and latency."
EXAMPLES = """examples:
  gearpool bench echo
  gearpool bench echo --jobs 100000 --window 1000 --size 64KiB
  gearpool bench echo --background --jobs 10000 --json
"""
INTERMIXED = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("function", help="the function to load; its handler should have no side effects")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-n", "--jobs", type=positive, metavar="N", help="submit N jobs")
    group.add_argument("-d", "--duration", type=duration, metavar="TIME", help="submit for TIME (default: 5s)")
    parser.add_argument("-w", "--window", type=positive, default=100, help="jobs under way at once (default: 100)")
    parser.add_argument(
        "--size", type=size, default=16, metavar="SIZE", help="size of each payload (default: 16 bytes)"
    )
    parser.add_argument(
        "-b", "--background", action="store_true", help="measure only the submission of background jobs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    servers.add_options(parser)


class Measured:
    """Latencies in seconds of the jobs that ended, and how many failed."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failed = 0
        self.first_error = ""

    def percentile(self, share: float) -> float:
        """Of sorted latencies: the smallest that ``share`` of them do not exceed; 0 without any."""
        if not self.latencies:
            return 0.0
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    with servers.make_client(arguments) as client:
        # Connected before the clock runs; and a function without workers would only time out.
        rows = [row for found in client.admin.status().values() for row in found if row.function == arguments.function]
        if not arguments.background and not sum(row.workers for row in rows):
            servers.complain(f"no worker serves {arguments.function}")
            return exit_codes.FAILED
        measured = Measured()
        start = time.perf_counter()
        try:
            _load(client, arguments, measured)
        except KeyboardInterrupt:
            servers.complain("interrupted")
        elapsed = time.perf_counter() - start
    _report(arguments, measured, elapsed)
    return exit_codes.FAILED if measured.failed else exit_codes.OK


def _load(client: Client, arguments: argparse.Namespace, measured: Measured) -> None:
    data = b"x" * arguments.size
    clock = time.perf_counter
    ends = clock() + (arguments.duration or 5.0)
    begun: deque[float] = deque()

    def items() -> Iterator[bytes]:
        for _ in itertools.count() if arguments.jobs is None else range(arguments.jobs):
            now = clock()
            if arguments.jobs is None and now >= ends:
                return
            begun.append(now)
            yield data

    ended: dict[int, float] = {}  # by id: a future is alive until its turn has come below
    futures = client.submit_many(
        arguments.function,
        items(),
        window=arguments.window,
        background=arguments.background,
        on_done=lambda future: ended.__setitem__(id(future), clock()),
    )
    for future in futures:
        start = begun.popleft()
        try:
            if arguments.background:
                future.job()
            else:
                future.result()
        except GearpoolError as error:
            measured.failed += 1
            measured.first_error = measured.first_error or str(error)
        measured.latencies.append(ended.pop(id(future), clock()) - start)


def _report(arguments: argparse.Namespace, measured: Measured, elapsed: float) -> None:
    latencies = measured.latencies
    latencies.sort()
    figures = {
        "function": arguments.function,
        "jobs": len(latencies),
        "failed": measured.failed,
        "window": arguments.window,
        "seconds": round(elapsed, 3),
        "jobs_per_s": round(len(latencies) / elapsed, 1) if elapsed else 0.0,
        "p50_s": round(measured.percentile(0.50), 6),
        "p90_s": round(measured.percentile(0.90), 6),
        "p99_s": round(measured.percentile(0.99), 6),
        "max_s": round(latencies[-1], 6) if latencies else 0.0,
    }
    if measured.failed:
        servers.complain(f"{measured.failed} failed, the first: {measured.first_error}")
    if arguments.json:
        servers.print_json(figures)
        return
    print(
        f"{figures['jobs']} jobs in {elapsed:.2f} s: {figures['jobs_per_s']:.0f} jobs/s, window {arguments.window}\n"
        f"latency p50 {_ms(measured.percentile(0.5))}  p90 {_ms(measured.percentile(0.9))}  "
        f"p99 {_ms(measured.percentile(0.99))}  max {_ms(latencies[-1] if latencies else 0.0)}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
