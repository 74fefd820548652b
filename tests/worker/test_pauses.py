"""A worker that was stopped, or blocked by one of its jobs, does not blame its own pause on the server.

The timeouts are much shorter than usual (`serving.SHORT`), and the pauses are longer than those.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.monkey import get_original

from gearpool import Client, Job
from gearpool.errors import ConnectFailed
from gearpool.net import dialing
from gearpool.worker import lane
from tests.processes import wait_for
from tests.worker.serving import SHORT, function, serving

_SERVE = """
import sys, time, gevent
from pathlib import Path
from gearpool.net.addresses import parse_server
from gearpool.worker import snapshots
from gearpool.worker.pool import WorkerPool
from tests.worker.serving import SHORT, function

def hold(arg):
    print("start", flush=True)
    while not Path(sys.argv[2]).exists():
        gevent.sleep(0.01)
    return b"done"

pool = WorkerPool([function("hold", hold), function("idle", lambda arg: arg)], [parse_server(sys.argv[1])], timeouts=SHORT)
pool.start()
while True:
    gevent.sleep(0.05)
    print("alive", pool.server_log.reconnects, flush=True)
"""


class Stoppable:
    """A worker process and the `lines` it prints."""

    def __init__(self, server: str, release: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, server, str(release)], stdout=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def count(self, word: str) -> int:
        return sum(line.startswith(word) for line in self.lines)

    def lives_on(self, times: int) -> None:
        before = self.count("alive")
        wait_for(lambda: self.count("alive") >= before + times, "the worker to continue")

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.lines.extend(iter(lines.readline, ""))


@pytest.fixture
def stoppable(server: str, tmp_path: Path) -> Iterator[Stoppable]:
    made = Stoppable(server, tmp_path / "release")
    yield made
    made.end()


def test_a_job_of_a_worker_that_was_paused_by_a_signal_runs_once(
    stoppable: Stoppable, server: str, client: Client, tmp_path: Path
) -> None:
    future = client.submit("hold", b"")
    wait_for(lambda: stoppable.count("start") == 1, "the job to start")
    stoppable.process.send_signal(signal.SIGSTOP)
    time.sleep(2 * SHORT.silent_s)
    stoppable.process.send_signal(signal.SIGCONT)
    stoppable.lives_on(8)  # ticks
    (tmp_path / "release").touch()
    assert future.result(20) == b"done"
    assert stoppable.count("start") == 1
    assert stoppable.lines[-1] == "alive 0\n"


def test_a_job_next_to_one_that_blocks_the_process_runs_once_and_its_limit_is_extended(
    server: str, client: Client
) -> None:
    starts: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    release = threading.Event()
    left: list[float] = []

    def hold(arg: bytes, job: Job) -> bytes:
        starts.put(arg)
        while not release.is_set():
            gevent.sleep(0.01)
        left.append(job.remaining() or 0.0)
        return arg

    def block(arg: bytes) -> bytes:
        get_original("time", "sleep")(2.5 * SHORT.silent_s)
        return arg

    functions = [function("hold", hold, timeout_s=2 * SHORT.silent_s), function("block", block)]
    with serving(functions, server, timeouts=SHORT) as running:
        held = client.submit("hold", b"")
        starts.get(timeout=10)
        assert client.submit_job("block", b"", timeout=20) == b""
        running.call(lambda _: gevent.sleep(4 * SHORT.tick_s))
        release.set()
        assert held.result(20) == b""  # its time limit has passed while it could not run
        assert starts.empty()
        assert running.snapshot()["reconnects"] == 0
        assert running.outcomes("hold") == {"complete": 1}


def test_connections_survive_jobs_that_block_for_longer_than_the_server_may_be_silent(
    server: str, client: Client
) -> None:
    """A session does not read while jobs are pending, so there are unread packets of the server."""
    runs: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def compute(arg: bytes) -> bytes:
        runs.put(arg)
        end = time.monotonic() + (0.09 if len(arg) == 1 else 0.0)
        while time.monotonic() < end:
            pass
        return arg

    with serving([function("compute", compute)], server, timeouts=SHORT) as running:
        for _ in range(5):  # so that it grabs many at once
            list(client.map("compute", [b"quick"] * 200, window=200))
        while not runs.empty():
            runs.get()
        running.call(lambda pool: pool.pause("compute"))
        futures = [client.submit("compute", b"%d" % (number % 10)) for number in range(24)]
        wait_for(lambda: all(future.handle for future in futures), "the jobs to be queued")
        running.call(lambda pool: pool.resume("compute"))
        assert [future.result(60) for future in futures] == [b"%d" % (number % 10) for number in range(24)]
        assert runs.qsize() == 24
        assert running.snapshot()["reconnects"] == 0


def test_the_kernel_keeps_connections_while_server_and_worker_are_both_frozen(server: str) -> None:
    """In a frozen container neither side reads, but the kernel keeps running and must not drop the connection.

    This checks the kernel's limit, because waiting for it would take too long.
    """
    with serving([function("echo", lambda arg: arg)], server) as running:
        wait_for(lambda: running.call(lambda pool: pool.lanes[0].connected), "the connection")
        descriptor = running.call(lambda pool: os.dup(pool.lanes[0].descriptor))
        with socket.socket(fileno=descriptor) as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 60_000


def test_a_connection_attempt_delayed_by_this_process_is_repeated_and_not_blamed_on_the_server(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect = dialing.connect
    tries: list[None] = []

    def held_up(*arguments: Any, **options: Any) -> socket.socket:
        tries.append(None)
        if len(tries) <= 2:
            get_original("time", "sleep")(0.2)
            raise ConnectFailed(server, "no answer from the host in time")
        return connect(*arguments, **options)

    monkeypatch.setattr(dialing, "connect", held_up)
    monkeypatch.setattr(lane, "CONNECT_S", 0.05)
    monkeypatch.setattr(lane, "LATE_S", 0.05)
    with serving([function("echo", lambda arg: arg)], server, timeouts=SHORT) as running:
        wait_for(lambda: running.call(lambda pool: pool.lanes[0].connected), "the connection")
    assert len(tries) == 3
    assert "no answer from the host" not in caplog.text


def test_other_greenlets_run_during_a_long_batch_of_handlers_that_never_yield(server: str, client: Client) -> None:
    ticks = 0
    seen: list[int] = []

    def compute(arg: bytes) -> bytes:
        if arg == b"long":
            seen.append(ticks)
            end = time.monotonic() + 0.006
            while time.monotonic() < end:
                pass
        return arg

    def count(_: object) -> None:
        nonlocal ticks
        while len(seen) < 20:
            ticks += 1
            gevent.sleep(0.001)

    with serving([function("compute", compute)], server) as running:
        for _ in range(5):  # so that it grabs many at once
            list(client.map("compute", [b"quick"] * 200, window=200))
        running.call(lambda pool: pool.pause("compute"))
        futures = [client.submit("compute", b"long", unique=f"{number}") for number in range(20)]
        wait_for(lambda: all(future.handle for future in futures), "the jobs to be queued")
        running.call(lambda pool: gevent.spawn(count, pool))
        running.call(lambda pool: pool.resume("compute"))
        assert [future.result(20) for future in futures] == [b"long"] * 20
    assert len(set(seen)) >= 5
