"""The asyncio client: its speed compared with the threaded client, its memory, and how a hung server affects an application.

``echo ADDRESS CLIENT ITEMS``, ``background ADDRESS ITEMS`` and ``hung`` as arguments make this a child process that is
measured; ``python -m tests.benchmarks.bench_asyncio hung`` prints the last figures on its own.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from gearpool import AsyncClient, Client, JobTimedOut, SubmitUnknown
from tests.benchmarks.bench_echo import ECHO
from tests.benchmarks.machine import Row, daemon, one_core_gearmand, pinned
from tests.processes import running_gearmand

ROUNDS = 3
ITEMS = 100_000
MANY = 1_000_000
WINDOW = 1000
PAYLOAD = b"0123456789abcdef"

JOBS = 200
LIMIT_S = 3.0


def rows() -> Iterator[Row]:
    """Measure speed, memory, and how punctually time limits expire while a server does not answer."""
    with one_core_gearmand() as server, daemon(server.port, ECHO):
        turns = [(_child("echo", server.address, name, ITEMS)[0]) for _ in range(ROUNDS) for name in ("async", "sync")]
        ours, threads = median(turns[::2]), median(turns[1::2])
    yield Row(
        "asyncio client, pipelined echo / the threads' client",
        ours / threads,
        ">= 0.5",
        f"{ours:.0f} jobs/s against {threads:.0f}",
    )
    # With its default hash table gearmand itself becomes twenty times slower during the run.
    with one_core_gearmand("--hashtable-buckets=100003") as server:
        rate, before, peak = _child("background", server.address, MANY)
    yield Row(
        f"asyncio client, {MANY} background jobs, MB more at most",
        peak - before,
        "<= 20",
        f"{rate:.0f} jobs/s, {peak:.0f} MB in all",
    )
    late, blocked = _child("hung")
    yield Row(
        f"asyncio client, server stopped: lateness of {2 * JOBS} jobs, s",
        late,
        "<= 0.5",
        f"limit {LIMIT_S} s; another's asyncio.to_thread took {blocked * 1000:.1f} ms at most",
    )
    yield Row("asyncio client, server stopped: asyncio.to_thread of another, s", blocked, "<= 0.05", "")


def _child(*arguments: object) -> list[float]:
    argv = pinned(sys.executable, "-m", "tests.benchmarks.bench_asyncio", *map(str, arguments))
    done = subprocess.run(argv, capture_output=True, check=True, timeout=600)
    return [float(word) for word in done.stdout.split()]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _threads(address: str, items: int) -> float:
    with Client(address) as client:
        client.submit_job("echo", PAYLOAD)
        start = time.perf_counter()
        for result in client.map("echo", (PAYLOAD for _ in range(items)), window=WINDOW):
            assert result == PAYLOAD
        return items / (time.perf_counter() - start)


async def _asyncio(address: str, items: int) -> float:
    async with AsyncClient(address) as client:
        await client.submit_job("echo", PAYLOAD)
        start = time.perf_counter()
        async for result in client.map("echo", (PAYLOAD for _ in range(items)), window=WINDOW):
            assert result == PAYLOAD
        return items / (time.perf_counter() - start)


async def _background(address: str, items: int) -> None:
    async with AsyncClient(address) as client:
        await client.echo()
        before, start, count = _peak(), time.perf_counter(), 0
        async for _ in client.submit_background_jobs("later", (PAYLOAD for _ in range(items))):
            count += 1
        assert count == items
        print(items / (time.perf_counter() - start), before, _peak())


async def _hung() -> None:
    """Suspend a gearmand while jobs are awaited; print how late the last one ended and how long a thread took."""
    with running_gearmand() as server:
        assert server.process is not None
        async with AsyncClient(server.address, connect_timeout=1.0) as client:
            # With unique IDs of their own: the client queries the status of those soon and often.
            before = [asyncio.ensure_future(_lateness(client, f"u{number}")) for number in range(JOBS)]
            await asyncio.sleep(0.5)
            os.kill(server.process.pid, signal.SIGSTOP)
            try:
                after = [_lateness(client, f"v{number}") for number in range(JOBS)]
                everything = asyncio.gather(*before, *after)
                slowest = await _slowest_thread(everything)
                print(max(await everything), slowest)
            finally:
                os.kill(server.process.pid, signal.SIGCONT)


async def _lateness(client: AsyncClient, unique: str) -> float:
    """Return by how many seconds a job that never ends exceeds its time limit."""
    start = time.perf_counter()
    try:
        await client.submit_job("nobody", PAYLOAD, unique=unique, timeout=LIMIT_S)
    except (JobTimedOut, SubmitUnknown):
        return time.perf_counter() - start - LIMIT_S
    raise AssertionError("nobody has done the job")


async def _slowest_thread(until: asyncio.Future[list[float]]) -> float:
    """Return the longest time that ``asyncio.to_thread`` takes meanwhile, in seconds."""
    slowest = 0.0
    while not until.done():
        start = time.perf_counter()
        await asyncio.to_thread(lambda: None)
        slowest = max(slowest, time.perf_counter() - start)
        await asyncio.sleep(0.01)
    return slowest


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    if command == "echo":
        number = int(words[2])
        print(asyncio.run(_asyncio(words[0], number)) if words[1] == "async" else _threads(words[0], number))
    elif command == "background":
        asyncio.run(_background(words[0], int(words[1])))
    else:
        asyncio.run(_hung())
