"""How long a scrape and the other answers take with 500 functions, and what publishing to the web child costs."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from statistics import median

from gearpool import Client
from tests.benchmarks.machine import Row, daemon
from tests.integration.daemons import cpu_s
from tests.processes import free_port, running_gearmand

FUNCTIONS = 500
TIMES = 30
IDLE_S = 15.0


def rows() -> Iterator[Row]:
    """Measure a daemon of which every function has run a job."""
    functions = "".join(f"  f{number:03}: bench_handlers.echo\n" for number in range(FUNCTIONS))
    port = free_port()
    with (
        running_gearmand() as server,
        daemon(server.port, functions, core=None, http={"listen": f"127.0.0.1:{port}"}) as site,
    ):
        with Client(server.address) as client:
            for number in range(FUNCTIONS):
                client.submit_job(f"f{number:03}", b"x", timeout=30)
        time.sleep(6.0)  # the job server's queues have been asked for by then
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for path, accept, goal in (
            ("/metrics", "text/plain", "<= 100"),
            ("/metrics", "application/openmetrics-text", "<= 100"),
            ("/api/status", "application/json", "<= 100"),
            ("/livez", "text/plain", "<= 10"),
        ):
            times, size = [], 0
            for _ in range(TIMES):
                began = time.monotonic()
                connection.request("GET", path, headers={"Accept": accept})
                size = len(connection.getresponse().read())
                times.append(time.monotonic() - began)
                time.sleep(0.1)
            detail = f"median of {TIMES}, {size // 1024} KiB, slowest {max(times) * 1000:.0f} ms"
            yield Row(f"{path} as {accept}, {FUNCTIONS} functions, ms", median(times) * 1000, goal, detail)
        connection.close()
        assert site.process is not None
        pids = {"supervisor": site.process.pid, "web child": site.ask("status")["web"]["pid"]}
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        time.sleep(IDLE_S)
        for name, pid in pids.items():
            used = (cpu_s(pid) - before[name]) / IDLE_S * 100
            yield Row(
                f"{name} without requests, {FUNCTIONS} functions, % of a core", used, "<= 5", "published each second"
            )
