"""The client: pipelined echo from Python against a C loop of gearman_client_do, and the memory of a long `map`.

The C loop is given the better of two workers: libgearman's own, and gearpool's. ``ADDRESS ITEMS`` as arguments make this
the child process that is measured.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from gearpool.client import Client
from tests.benchmarks.bench_echo import ECHO
from tests.benchmarks.machine import Row, background, daemon, native, one_core_gearmand, pinned

ROUNDS = 5
ITEMS = 100_000
MANY = 1_000_000
SECONDS = "1"
WINDOW = 1000
PAYLOAD = b"0123456789abcdef"


def rows() -> Iterator[Row]:
    """Measure speed, then memory."""
    with one_core_gearmand() as server:
        ours, beside_ours, beside_theirs = [], [], []
        for _ in range(ROUNDS):
            with daemon(server.port, ECHO):
                ours.append(_map(server.address, ITEMS)[0])
                beside_ours.append(_loop(server.port))
            with background(native("libgearman_worker"), str(server.port)):
                beside_theirs.append(_loop(server.port))
        loop = max(median(beside_ours), median(beside_theirs))
        yield Row(
            "client, pipelined echo / gearman_client_do in a loop",
            median(ours) / loop,
            ">= 5",
            f"{median(ours):.0f} jobs/s; the loop {median(beside_theirs):.0f} with libgearman's worker, "
            f"{median(beside_ours):.0f} with ours",
        )
        with daemon(server.port, ECHO):
            rate, peak = _map(server.address, MANY)
        yield Row(f"client, map over {MANY} items, MB at most", peak, "<= 100", f"{rate:.0f} jobs/s")


def _loop(port: int) -> float:
    argv = pinned(native("gearman_client_do"), "127.0.0.1", str(port), "echo", SECONDS)
    return float(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)


def _map(address: str, items: int) -> tuple[float, float]:
    argv = pinned(sys.executable, "-m", "tests.benchmarks.bench_client", address, str(items))
    rate, peak = subprocess.run(argv, capture_output=True, check=True, timeout=300).stdout.split()
    return float(rate), float(peak)


def _child(address: str, items: int) -> None:
    """Print jobs a second and the peak of this process in MB."""
    with Client(address) as client:
        client.submit_job("echo", PAYLOAD)
        start = time.perf_counter()
        for result in client.map("echo", (PAYLOAD for _ in range(items)), window=WINDOW):
            assert result == PAYLOAD
        rate = items / (time.perf_counter() - start)
    print(rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
