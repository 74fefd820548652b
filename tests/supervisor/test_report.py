from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.figures import Figures, ProcessFigures, read, size
from gearpool.metrics import CountersSnapshot
from gearpool.page import Activity, Reading
from gearpool.settings import EmbeddedSettings, FunctionSettings, ServerSettings, Settings
from gearpool.status import DaemonStatus, FunctionRow, WorkerRow
from gearpool.supervisor.failure_store import FailureStore
from gearpool.supervisor.lifecycle import Lifecycle
from gearpool.supervisor.report import Report
from gearpool.supervisor.states import ChildState, DaemonEvent
from gearpool.supervisor.totals import Totals

FUNCTION = FunctionSettings(name="work", handler="a.b")


class Daemon:
    """The parts of a daemon that a report reads."""

    def __init__(self, *workers: Any, embedded: EmbeddedSettings | None = None, path: str = "workers.yaml") -> None:
        settings = Settings(servers=(ServerSettings(host="a"),), functions=(FUNCTION,), embedded=embedded)
        self.lifecycle = Lifecycle()
        self.lifecycle.advance(DaemonEvent.CHECKED)
        self.lifecycle.advance(DaemonEvent.READY)
        self.fleet = SimpleNamespace(
            all=lambda: list(workers), serving=lambda: [worker for worker in workers if worker.serving], quiet=False,
            settings=settings, settings_of=lambda _: settings, totals=Totals(), generation=1, wanted=1, paused={"work"},
            restarts={"crashed": 2}, failures=FailureStore(),
        )  # fmt: skip
        self.job_server = SimpleNamespace(child=None, silent_s=0.0, queues={})
        web: Any = SimpleNamespace(row=None)
        guard: Any = SimpleNamespace(stalled_s=lambda worker: worker.stalled_s)
        self.report = Report(path, self.lifecycle, self.fleet, self.job_server, web, guard)  # type: ignore[arg-type]


TOLD_S = 12.0


def figures(status: dict[str, Any]) -> ProcessFigures | None:
    """Those of a worker that has run three jobs, and told something 12 s ago if it has at all."""
    memory = bytearray(size(1))
    written = Figures(memory, 0, 1)
    for _ in range(3):
        written.functions[0].ended("failed", 0.002)
    written.reconnected()
    if status:
        written.tell(time.monotonic() - TOLD_S, 0.25)
    return read(memory, 0, 1)


def worker(state: ChildState = ChildState.READY, stalled_s: float = 0.0, **status: Any) -> Any:
    return SimpleNamespace(
        pid=7, state=state, starting=state is ChildState.STARTING, serving=state is ChildState.READY, generation=1,
        age_s=1.0, status=status, stalled_s=stalled_s, memory_bytes=lambda: 5, functions=["work"], jobs=3,
        read_figures=lambda: figures(status),
        read_page=lambda: Reading(1, 0.0, 0, Activity.JOB, b"H:\xff", b"u"),
    )  # fmt: skip


def test_the_summary_counts_workers_and_jobs() -> None:
    report = Daemon(worker(in_progress=3), worker(in_progress=2)).report
    assert report.summary == "running: 2 workers, 5 jobs in progress"
    assert report.problem == ""


def test_without_a_ready_worker_there_is_a_problem() -> None:
    report = Daemon(worker(ChildState.STARTING)).report
    assert report.summary == "running, but no worker is ready; 1 are starting"


def test_a_missing_or_silent_job_server_is_a_problem() -> None:
    daemon = Daemon(worker(), embedded=EmbeddedSettings())
    assert daemon.report.problem == "the embedded job server is not ready"
    daemon.job_server.child = worker()
    assert daemon.report.problem == ""
    daemon.job_server.silent_s = 12.3
    assert daemon.report.problem == "the embedded job server has not responded for 12 s"


def test_a_draining_daemon_has_no_problem() -> None:
    daemon = Daemon()
    daemon.lifecycle.advance(DaemonEvent.STOP)
    assert (daemon.report.state, daemon.report.problem) == ("draining", "")


def test_quiet_is_a_state_only_while_running() -> None:
    daemon = Daemon(worker())
    daemon.fleet.quiet = True
    assert daemon.report.state == "quiet"
    daemon.lifecycle.advance(DaemonEvent.RELOAD)
    assert daemon.report.state == "reloading"


def test_a_blocked_worker_has_at_least_the_job_on_its_cpu() -> None:
    status = Daemon(worker(stalled_s=3.0)).report.status()
    (row,) = status["workers"]
    assert (status["in_progress"], row["in_progress"], row["stalled_s"], row["told"]) == (1, 1, 3.0, False)
    assert (row["function"], row["handle"], row["unique"]) == ("work", "H:\\xff", "u")


def test_every_key_is_there_even_before_a_worker_has_told_anything() -> None:
    status = Daemon(worker()).report.status()
    assert set(status) == set(DaemonStatus.__annotations__)
    assert set(status["workers"][0]) == set(WorkerRow.__annotations__)
    assert set(status["functions"]["work"]) == set(FunctionRow.__annotations__) | set(CountersSnapshot.__annotations__)
    json.dumps(status)
    row = status["workers"][0]
    assert (row["told"], row["told_s"], row["slots"], row["loop_lag_s"], row["function"]) == (False, *(None,) * 4)
    assert status["slots"] == {"limit": None, "used": None}
    assert status["functions"]["work"]["outcomes"]["failed"] == 3, "counters do not wait for a report"


def test_the_answer_to_ping_is_an_excerpt_of_the_status() -> None:
    report = Daemon(worker()).report
    brief, status = report.brief(), dict(report.status())
    assert set(brief) == {"pid", "state", "problem", "config", "uptime_s"}
    assert {**brief, "uptime_s": 0} == {name: status[name] for name in brief} | {"uptime_s": 0}


def test_gauges_have_their_age_and_are_added_up() -> None:
    gauges = {"work": {"in_progress": 2, "slots": 10, "waiting_retry": 1, "breaker_open": True}}
    told: dict[str, Any] = {
        "functions": gauges,
        "servers": {"a:1": True, "b:1": False},
        "slots": {"limit": 10, "used": 2},
    }
    status = Daemon(worker(**told), worker(**told), worker()).report.status()
    work = status["functions"]["work"]
    assert (work["in_progress"], work["slots"], work["waiting_retry"], work["breaker_open"]) == (4, 20, 2, True)
    assert work["paused"], "as the daemon wants it, whether or not the workers could obey"
    assert work["age_s"] is not None
    assert work["age_s"] >= TOLD_S
    first, _, last = status["workers"]
    assert first["told_s"] is not None
    assert first["told_s"] >= TOLD_S
    assert (first["loop_lag_s"], last["told_s"]) == (0.25, None)
    assert (status["servers"], status["reconnects"]) == ({"a:1": True, "b:1": False}, 3)
    assert status["slots"] == {"limit": 20, "used": 4}
    assert work["outcomes"]["failed"] == 9


def test_a_blocked_worker_is_at_least_as_late_as_it_has_been_blocked() -> None:
    assert Daemon(worker(stalled_s=3.0, in_progress=1)).report.status()["workers"][0]["loop_lag_s"] == 3.0
    assert Daemon(worker(stalled_s=3.0)).report.status()["workers"][0]["loop_lag_s"] == 3.0


def test_failures_are_those_of_the_store() -> None:
    assert Daemon().report.failures() == FailureStore().answer()


@pytest.mark.parametrize("linked", [True, False])
def test_the_resolved_file_is_named_only_if_it_differs(linked: bool, tmp_path: Path) -> None:
    real = tmp_path.resolve() / "real.yaml"
    link = real.with_name("workers.yaml")
    link.symlink_to(real)
    path = link if linked else real
    expected = {"config": str(path), **({"config_resolved": str(real)} if linked else {})}
    assert Daemon(path=str(path)).report.files == expected
