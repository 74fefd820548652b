"""The CPU time and memory of an idle daemon, and its startup time."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.machine import HANDLERS, Row, daemon
from tests.integration.daemons import Site, cpu_s
from tests.processes import running_gearmand

IDLE_S = 30.0


def rows() -> Iterator[Row]:
    """Measure an idle daemon with 50 functions on 3 servers, and the time from start to ready."""
    functions = "".join(f"  f{number}: bench_handlers.echo\n" for number in range(50))
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running_gearmand()) for _ in range(3)]
        site = stack.enter_context(
            daemon(servers[0].port, functions, servers=[server.address for server in servers], core=None)
        )
        assert site.process is not None
        pids = [site.process.pid, *site.workers()]
        time.sleep(2.0)
        before = sum(cpu_s(pid) for pid in pids)
        time.sleep(IDLE_S)
        used = (sum(cpu_s(pid) for pid in pids) - before) / IDLE_S
        yield Row("idle, 50 functions on 3 servers, % of a core", used * 100, "<= 0.2", "supervisor and worker")
    with running_gearmand() as server, tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), f"servers: {server.address}\nfunctions:\n  echo: bench_handlers.echo\n")
        (site.folder / "bench_handlers.py").write_text(HANDLERS)
        times = []
        for _ in range(5):
            began = time.monotonic()
            site.start()
            site.until_ready()
            times.append(time.monotonic() - began)
            site.close()
            site._log.unlink()
        yield Row("start to ready, one process, s", sorted(times)[2], "<= 0.7", f"median of {len(times)}")
