"""How long a scrape and the other answers take with 500 functions, and what publishing and scraping cost."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from statistics import median

from gearpool import Client
from tests.benchmarks.machine import Load, Row, daemon, load, one_core_gearmand
from tests.integration.daemons import cpu_s
from tests.processes import free_port, running_gearmand

FUNCTIONS = 500
TIMES = 30
IDLE_S = 15.0
JOBS = 400_000
ROUNDS = 5


def rows() -> Iterator[Row]:
    """Return the rows of a daemon with 500 functions, and of one that only echoes."""
    yield from _answers()
    yield _echo_while_scraped()


def _answers() -> Iterator[Row]:
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


def _echo_while_scraped() -> Row:
    """The throughput with `http` and a scrape each second against that without `http`, all on one core."""
    without: list[Load] = []
    scraped: list[Load] = []
    echo = "  echo: {handler: bench_handlers.echo, timeout: 30s}\n"
    with one_core_gearmand() as server:
        for _ in range(ROUNDS):
            with daemon(server.port, echo):
                without.append(load(server.port, "echo", JOBS, 1000))
            port = free_port()
            with daemon(server.port, echo, http={"listen": f"127.0.0.1:{port}"}), _scraping(port):
                scraped.append(load(server.port, "echo", JOBS, 1000))
    ratio = median(one.rate / other.rate for one, other in zip(scraped, without, strict=True))
    detail = f"{[round(each.rate) for each in scraped]} jobs/s against {[round(each.rate) for each in without]}"
    return Row("echo, W=1000, scraped each second / without http", ratio, ">= 0.97", detail)


@contextlib.contextmanager
def _scraping(port: int) -> Iterator[None]:
    """Read the metrics each second."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(1.0):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/metrics")
            assert connection.getresponse().read()
            connection.close()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
