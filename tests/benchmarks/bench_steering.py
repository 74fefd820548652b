"""How soon the daemon answers while every worker is stopped or stuck in C, and how soon a pause stops the grabs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gearpool import Client
from tests.benchmarks.machine import Row, daemon
from tests.integration.daemons import Site
from tests.processes import free_port, running_gearmand, wait_for

TIMES = 20
FUNCTIONS = """  echo: bench_handlers.echo
  note: bench_handlers.note
  stuck: {handler: bench_handlers.stuck, timeout: 600s}
"""


def rows() -> Iterator[Row]:
    """Return the rows of a daemon with two workers."""
    port = free_port()
    with (
        running_gearmand() as server,
        daemon(server.port, FUNCTIONS, core=None, processes=2, stall_timeout="10m", http={
            "listen": f"127.0.0.1:{port}", "token": "bench"}) as site,
    ):  # fmt: skip
        yield _pause(server.address, port, site.folder / "starts")
        workers = site.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.0)
        yield from _answers(site, port, "stopped")
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        with Client(server.address) as client:
            for _ in range(2):
                client.submit_background_job("stuck", b"")
        wait_for(lambda: all(row["stalled_s"] > 1 for row in site.ask("status")["workers"]), "both to be stuck")
        yield from _answers(site, port, "stuck in C")


def _answers(site: Site, port: int, how: str) -> Iterator[Row]:
    for path in ("/livez", "/metrics", "/api/status"):
        yield _timed(f"{path}, every worker {how}, slowest, ms", lambda path=path: _get(port, path))  # type: ignore[misc]
    for command in ("status", "stacks"):
        yield _timed(f"request {command}, every worker {how}, slowest, ms", lambda command=command: site.ask(command))  # type: ignore[misc]
        began = time.monotonic()
        site.gearpool(command, "-c", str(site.path))
        whole = (time.monotonic() - began) * 1000
        yield Row(f"`gearpool {command}` with its start, ms", whole, "<= 1000", f"every worker {how}")


def _timed(name: str, ask: Callable[[], object]) -> Row:
    times = []
    for _ in range(TIMES):
        began = time.monotonic()
        ask()
        times.append((time.monotonic() - began) * 1000)
    return Row(name, max(times), "<= 200", f"{TIMES} times")


def _pause(address: str, port: int, starts: Path) -> Row:
    with Client(address) as client:
        list(client.submit_background_jobs("note", [b""] * 20_000))
        wait_for(starts.exists, "the first job")
        time.sleep(0.5)
        began = time.time()
        _post(port, "pause", {"function": "note"})
        answered = time.time() - began
        time.sleep(1.5)
    last = float(starts.read_text().splitlines()[-1])
    detail = f"answered after {answered * 1000:.0f} ms"
    return Row("last job started after a pause, ms", max(0.0, last - began) * 1000, "<= 200", detail)


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    found = connection.getresponse().read()
    connection.close()
    return found


def _post(port: int, action: str, body: object) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
    connection.request("POST", f"/api/{action}", json.dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{action}: {answer.status} {answer.read()!r}")
    connection.close()
