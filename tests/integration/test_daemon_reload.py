from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from gearpool import Client
from gearpool.supervisor import control_client
from tests.integration.conftest import Sites
from tests.integration.daemons import configuration
from tests.processes import Gearmand, wait_for

JOBS = 20_000
RELOADS = 10
BROKEN = [
    "",
    "\0",
    "functions: [",
    "servers: x\nnonsense: 1\n",
    "servers: x\nfunctions: {}\n",
    "servers: x\nfunctions: {f: site_handlers.nowhere}\n",
    "servers: x\nfunctions: {f: {handler: site_handlers.record, timeout: 30}}\n",
    "servers: ${NOT_SET_ANYWHERE}\nfunctions: {f: site_handlers.record}\n",
    "servers: x\nservers: y\nfunctions: {f: site_handlers.record}\n",
    "servers: x\nfunctions: {f: site_handlers.record}\nrecycle: {memory: 1MiB}\n",
]


def test_each_job_runs_once_across_reloads_with_changing_code(sites: Sites, server: str) -> None:
    site = sites(configuration(server)).start().until_serving()
    done = threading.Event()
    submitted = 0

    def submit() -> None:
        nonlocal submitted
        with Client(server) as client:
            each = JOBS // RELOADS
            for round_number in range(RELOADS):
                list(client.submit_background_jobs("record", [str(round_number * each + n) for n in range(each)]))
                submitted += each
                wait_for(lambda: done.is_set() or reloads >= round_number, "the next reload")  # noqa: B023 - used at once

    reloads = 0
    producer = threading.Thread(target=submit)
    producer.start()
    try:
        for version in range(2, RELOADS + 2):
            site.write_version(version)
            site.ask("reload", time_s=60.0)
            reloads += 1
    finally:
        done.set()
        producer.join()
    wait_for(lambda: len(site.lines("ran")) >= JOBS, "all jobs to run", 60.0)
    runs = Counter(line.split()[0] for line in site.lines("ran"))
    assert submitted == JOBS
    assert len(runs) == JOBS
    assert set(runs.values()) == {1}
    assert len({line.split()[1] for line in site.lines("ran")}) > RELOADS // 2
    assert site.ask("status")["reloads"] == {"ok": RELOADS, "failed": 0}


def test_a_reload_with_a_broken_file_or_broken_handlers_changes_nothing(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address)).start().until_serving()
    before = site.workers()
    good = site.handlers.read_text()
    for broken in BROKEN:
        site.path.write_text(broken)
        with pytest.raises(control_client.RefusedError, match=r"workers\.yaml|recycle\.memory"):
            site.ask("reload")
    site.path.write_text(site.configuration)
    for broken in ("import nonexistent_module\n", "def record(:\n", "raise SystemExit(3)\n"):
        site.handlers.write_text(broken)
        with pytest.raises(control_client.RefusedError, match="site_handlers"):
            site.ask("reload")
    site.handlers.write_text(good)
    assert site.workers() == before
    assert site.ask("status")["reloads"] == {"ok": 0, "failed": len(BROKEN) + 3}
    with Client(gearmand.address) as client:
        assert client.submit_job("record", "abc", timeout=10) == b"cba"


def test_a_reload_that_changes_only_limits_keeps_the_processes(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address)).start().until_serving()
    before = site.workers()
    site.path.write_text(configuration(gearmand.address, concurrency=7, drain_timeout="9s"))
    site.ask("reload")
    assert site.workers() == before
    wait_for(lambda: site.ask("status")["slots"].get("limit") == 7, "the workers to apply it")


@pytest.mark.timeout(180)
def test_a_leaking_handlers_memory_stays_bounded_and_every_job_runs(sites: Sites, gearmand: Gearmand) -> None:
    functions = "  leak: site_handlers.leak\n"
    recycle = "{memory: 128MiB}"
    site = sites(configuration(gearmand.address, functions=functions, recycle=recycle)).start().until_serving()
    jobs, batch = 200_000, 2000
    most, ran, moved, longest = 0, 0, time.monotonic(), 0.0
    with Client(gearmand.address) as client:
        for start in range(0, jobs, batch):
            list(client.submit_background_jobs("leak", [str(start + n) for n in range(batch)]))
            # Slower than the workers could run them, so that the leak grows over seconds.
            while ran < start + batch:
                time.sleep(0.02)
                before, ran = ran, site.count("ran")
                now = time.monotonic()
                longest = max(longest, now - moved)
                moved = now if ran > before else moved
                assert now - moved < 30, "no job has run for 30 s"
            workers = site.ask("status")["workers"]
            most = max([most, *(worker["memory_bytes"] for worker in workers)])
            # A retiring worker serves until its replacement is ready, so there is always one that serves.
            assert {"ready", "retiring"} & {worker["state"] for worker in workers}
    assert set(Counter(site.lines("ran")).values()) == {1}
    assert len(site.lines("ran")) == jobs
    assert site.ask("status")["restarts"]["memory"] >= 2
    # 400 MiB were leaked in total; no process used more than the limit plus half of that.
    assert most < (128 + 160) * 2**20
    print(f"longest time without a job: {longest:.2f} s")
