"""What the daemon tells of its workers while they are replaced, killed, stopped and stuck."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Any, Self

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import Site
from tests.processes import wait_for

HANDLERS = """
import ctypes, multiprocessing, os, re, time

def quick(arg):
    return arg

def yields(arg):
    time.sleep(0.001)
    return arg

def forks(arg):
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0.01,))
    process.start()
    process.join()
    return b"forked"

def in_c(arg):
    re.match(r"(a|aa)+$", "a" * 60 + "b")
"""


def site_of(sites: Sites, server: str, **top: object) -> Site:
    extra = "".join(f"{name}: {value}\n" for name, value in top.items())
    site = sites(
        f"servers: {server}\n{extra}log: {{format: json}}\nfunctions:\n"
        + "".join(f"  {name}: figures_handlers.{name}\n" for name in ("quick", "yields", "forks", "in_c"))
    )
    (site.folder / "figures_handlers.py").write_text(HANDLERS)
    return site


class Watcher:
    """Reads the counters without a pause, and keeps every one that fell."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self.fell: list[str] = []
        self.looks = 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        before: dict[str, float] = {}
        while not self._stop.is_set():
            now = counters(self._site.ask("status"))
            self.fell += [
                f"{name}: {before[name]} to {now.get(name)}" for name in before if now.get(name, -1) < before[name]
            ]
            before = now
            self.looks += 1


def until_replaced(site: Site, pid: int, count: int) -> None:
    """Wait until ``count`` workers are ready without this one."""
    wait_for(lambda: pid not in (ready := site.workers()) and len(ready) >= count, "a new worker")


def counters(status: Any) -> dict[str, float]:
    found: dict[str, float] = {"reconnects": status["reconnects"]}
    for name, function in status["functions"].items():
        found |= {f"{name} {outcome}": count for outcome, count in function["outcomes"].items()}
        found |= {f"{name} {bucket}": count for bucket, count in enumerate(function["duration_buckets"])}
        found[f"{name} seconds"] = function["duration_sum_s"]
    return found


def test_no_counter_falls_and_no_counted_job_is_lost_by_reload_recycle_and_kill_9(sites: Sites, server: str) -> None:
    site = site_of(sites, server, processes=2, recycle="{jobs: 400}").start().until_serving()
    results = dict.fromkeys(("quick", "yields"), 0)
    stop = threading.Event()

    def load(function: str) -> None:
        with Client(server) as client:
            while not stop.is_set():
                results[function] += sum(1 for _ in client.map(function, [b"x"] * 50, timeout=60))

    with Watcher(site) as watcher:
        threads = [threading.Thread(target=load, args=(name,)) for name in results]
        for thread in threads:
            thread.start()
        for _ in range(3):
            (pid, *_) = site.workers()
            wait_for(lambda: min(results.values()) > 100, "some results")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until_replaced(site, pid, 2)
            assert site.gearpool("reload", "-c", str(site.path)).returncode == 0
        stop.set()
        for thread in threads:
            thread.join()
    status = site.ask("status")
    assert watcher.fell == []
    assert watcher.looks > 10
    assert status["restarts"].keys() >= {"crashed"}
    for name, known in results.items():
        assert status["functions"][name]["outcomes"]["complete"] >= known > 0
    assert sum(status["functions"]["quick"]["duration_buckets"]) == sum(
        status["functions"]["quick"]["outcomes"].values()
    )


def test_what_a_worker_has_counted_is_there_after_kill_9_at_once(sites: Sites, server: str) -> None:
    site = site_of(sites, server, processes=1).start().until_serving()
    with Client(server) as client:
        for round_ in range(1, 4):
            assert sum(1 for _ in client.map("quick", [b"x"] * 100, timeout=60)) == 100
            (pid,) = site.workers()
            os.kill(pid, signal.SIGKILL)
            until_replaced(site, pid, 1)
            assert site.ask("status")["functions"]["quick"]["outcomes"]["complete"] == 100 * round_


def test_a_forked_copy_counts_nothing(sites: Sites, server: str) -> None:
    site = site_of(sites, server, processes=1).start().until_serving()
    with Client(server) as client:
        assert [client.submit_job("forks", b"", timeout=60) for _ in range(3)] == [b"forked"] * 3
    assert site.ask("status")["functions"]["forks"]["outcomes"]["complete"] == 3


def test_status_and_stacks_answer_and_tell_ages_while_every_worker_is_stopped_or_stuck_in_c(
    sites: Sites, server: str
) -> None:
    site = site_of(sites, server, processes=2, stall_timeout="10m").start().until_serving()
    with Client(server) as client:
        assert client.submit_job("quick", b"x", timeout=60) == b"x"
        client.submit_background_job("in_c", b"")
        wait_for(lambda: [row for row in site.ask("status")["workers"] if row["function"] == "in_c"], "one to be stuck")
        stopped = next(row["pid"] for row in site.ask("status")["workers"] if row["function"] is None)
        os.kill(stopped, signal.SIGSTOP)
        try:
            wait_for(lambda: all(row["stalled_s"] > 3 for row in site.ask("status")["workers"]), "both to be blocked")
            status = site.ask("status")
            for row in status["workers"]:
                assert row["told"]
                assert row["told_s"] > 2, "how old its figures are"
                assert row["loop_lag_s"] >= row["stalled_s"] > 3
            assert status["functions"]["quick"]["outcomes"]["complete"] == 1
            assert status["functions"]["quick"]["age_s"] > 2
            answers = {answer["worker"]: answer for answer in site.ask("stacks")}
            stuck = next(answer for pid, answer in answers.items() if pid != stopped)
            assert "figures_handlers.py" in stuck["stacks"]
            assert stuck["function"] == "in_c"
            assert answers[stopped]["error"] == "blocked"
            for command in ("status", "stacks"):
                done = site.gearpool(command, "-c", str(site.path))
                assert (done.returncode, done.stderr) == (0, "")
                assert "in_c" in done.stdout
        finally:
            os.kill(stopped, signal.SIGCONT)
