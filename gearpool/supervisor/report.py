"""Describes the daemon for the control socket, the service manager and the log. Floor 4.

It only reads what the supervisor already knows; it asks no other process.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field

from gearpool.figures import ProcessFigures, runs
from gearpool.metrics import BOUNDS, STALL_BOUNDS, FunctionSnapshot, WorkerSnapshot
from gearpool.status import DaemonStatus, FailuresAnswer, FunctionRow, WorkerRow
from gearpool.supervisor.channel import Object
from gearpool.supervisor.child import Child, job_fields
from gearpool.supervisor.fleet import Fleet
from gearpool.supervisor.guard import Guard
from gearpool.supervisor.job_server import JobServerChild
from gearpool.supervisor.lifecycle import Lifecycle
from gearpool.supervisor.states import DaemonState
from gearpool.supervisor.totals import Counts, no_runs
from gearpool.supervisor.web_child import WebChild
from gearpool.version import __version__

_HOST = platform.node()


@dataclass(frozen=True)
class Report:
    """Reads one daemon.

    Attributes:
        path: the configuration file, as given.
        lifecycle: the daemon's state.
        fleet: the workers.
        job_server: the embedded job server.
        web: the process that serves HTTP.
        guard: knows which workers are blocked.
        reloads: how many reloads succeeded and failed.
        started: when the daemon was started, as a `time.time` value.
    """

    path: str
    lifecycle: Lifecycle
    fleet: Fleet
    job_server: JobServerChild
    web: WebChild
    guard: Guard
    reloads: dict[str, int] = field(default_factory=lambda: {"ok": 0, "failed": 0})
    started: float = field(default_factory=time.time)

    @property
    def state(self) -> str:
        """The daemon's state in one word."""
        quiet = self.fleet.quiet and self.lifecycle.state is DaemonState.RUNNING
        return "quiet" if quiet else self.lifecycle.state.value

    @property
    def in_progress(self) -> int:
        """Jobs in progress, as last reported by the workers."""
        return sum(_in_progress(child, self._on_cpu(child)) for child in self.fleet.all())

    @property
    def problem(self) -> str:
        """Why no job can run now; empty if jobs can run, or if the daemon is draining."""
        if self.lifecycle.stopping:
            return ""
        if not self.fleet.serving():
            starting = sum(child.starting for child in self.fleet.all())
            return f"no worker is ready; {starting} are starting"
        settings, child = self.fleet.settings, self.job_server.child
        if settings is not None and settings.embedded is not None and (child is None or not child.serving):
            return "the embedded job server is not ready"
        if self.job_server.silent_s:
            return f"the embedded job server has not responded for {self.job_server.silent_s:.0f} s"
        return ""

    @property
    def summary(self) -> str:
        """One line for people."""
        problem = self.problem
        if problem:
            return f"{self.state}, but {problem}"
        return f"{self.state}: {len(self.fleet.serving())} workers, {self.in_progress} jobs in progress"

    @property
    def files(self) -> Object:
        """The configuration file as given, and the file that symlinks in its path now lead to, if that differs."""
        real = os.path.realpath(self.path)
        return {"config": self.path} if real == self.path else {"config": self.path, "config_resolved": real}

    def brief(self) -> Object:
        """What a health check needs, without a look at the workers' figures."""
        return {
            "pid": os.getpid(),
            "state": self.state,
            "problem": self.problem or None,
            "config": self.path,
            "uptime_s": round(time.time() - self.started, 3),
        }

    def status(self) -> DaemonStatus:
        """Everything, as `gearpool status --json` prints it."""
        fleet, child, now = self.fleet, self.job_server.child, time.time()
        workers = fleet.all()
        read = [(worker, worker.read_figures()) for worker in workers]
        total = fleet.totals.view((worker.functions, figures) for worker, figures in read)
        told = [worker.status for worker in workers if worker.status]
        servers: dict[str, bool] = {}
        for snapshot in told:
            for server, connected in snapshot.get("servers", {}).items():
                servers[server] = servers.get(server, False) or connected
        return {
            "time": now,
            "version": __version__,
            "host": _HOST,
            "state": self.state,
            "problem": self.problem or None,
            "pid": os.getpid(),
            "config": self.path,
            "started": self.started,
            "uptime_s": round(now - self.started, 3),
            "generation": fleet.generation,
            "processes": fleet.wanted,
            "paused": sorted(fleet.paused),
            "in_progress": self.in_progress,
            "workers": [self._worker(worker, figures) for worker, figures in read],
            "jobserver": None
            if child is None
            else {
                "pid": child.pid,
                "state": child.state.value,
                "silent_s": round(self.job_server.silent_s, 3),
                "queues": self.job_server.queues,
            },
            "web": self.web.row,
            "restarts": dict(fleet.restarts),
            "reloads": dict(self.reloads),
            "functions": self._functions(total, read),
            "servers": servers,
            "slots": {"limit": _sum_of(told, "limit"), "used": _sum_of(told, "used")},
            "stalls": total["stalls"],
            "stall_buckets": total["stall_buckets"],
            "stall_sum_s": round(total["stall_sum_s"], 6),
            "stall_bounds": list(STALL_BOUNDS),
            "duration_bounds": list(BOUNDS),
            "reconnects": total["reconnects"],
        }

    def failures(self) -> FailuresAnswer:
        """The groups of failures and stalls, as `gearpool failures --json` prints them."""
        return self.fleet.failures.answer()

    def _functions(self, total: Counts, read: list[tuple[Child, ProcessFigures | None]]) -> dict[str, FunctionRow]:
        """One row for each function that is configured, or that any worker has or has had."""
        told: dict[str, list[tuple[float, FunctionSnapshot]]] = {}
        for worker, figures in read:
            told_s = _told_s(worker, figures) or 0.0
            for name, gauges in worker.status.get("functions", {}).items():
                told.setdefault(name, []).append((told_s, gauges))
        settings = self.fleet.settings
        configured = [function.name for function in settings.functions] if settings is not None else []
        names = dict.fromkeys([*configured, *total["functions"], *told])
        return {name: self._function(name, total, told.get(name, [])) for name in names}

    def _function(self, name: str, total: Counts, told: list[tuple[float, FunctionSnapshot]]) -> FunctionRow:
        gauges = [each for _, each in told]
        return {
            **(total["functions"].get(name) or no_runs()),
            "stalls": total["stalls"].get(name, 0),
            "in_progress": sum(each.get("in_progress", 0) for each in gauges),
            "slots": sum(each.get("slots", 0) for each in gauges) if gauges else None,
            "waiting_retry": sum(each.get("waiting_retry", 0) for each in gauges),
            "paused": name in self.fleet.paused,
            "breaker_open": any(each.get("breaker_open", False) for each in gauges),
            "age_s": max((round(age, 3) for age, _ in told), default=None),
        }

    def _worker(self, child: Child, figures: ProcessFigures | None) -> WorkerRow:
        on_cpu, told_s, stalled_s = self._on_cpu(child), _told_s(child, figures), round(self.guard.stalled_s(child), 3)
        lag = None if told_s is None or figures is None else figures["loop_lag_s"]
        return {
            "pid": child.pid,
            "pool": "default",
            "state": child.state.value,
            "generation": child.generation,
            "age_s": round(child.age_s, 3),
            "memory_bytes": child.memory_bytes(),
            "in_progress": _in_progress(child, on_cpu),
            "jobs": 0 if figures is None else runs(figures),
            "told": told_s is not None,
            "told_s": None if told_s is None else round(told_s, 3),
            "slots": child.status.get("slots", {}).get("limit"),
            # While it is blocked it is at least so late.
            "loop_lag_s": stalled_s or None if lag is None else round(max(lag, stalled_s), 6),
            "stalled_s": stalled_s,
            "function": on_cpu.get("function"),
            "handle": on_cpu.get("handle"),
            "unique": on_cpu.get("unique"),
        }

    def _on_cpu(self, child: Child) -> Object:
        """The job that blocks the worker: function, handle and unique; empty while it is not blocked."""
        if not self.guard.stalled_s(child):
            return {}
        # A blocked worker cannot report, but its page shows its job.
        return job_fields(child.read_page(), self.fleet.settings_of(child).functions)


def _in_progress(child: Child, on_cpu: Object) -> int:
    """At least one for a worker that blocked before it could report its job."""
    return max(int(child.status.get("in_progress", 0)), bool(on_cpu))


def _told_s(child: Child, figures: ProcessFigures | None) -> float | None:
    """How old the worker's gauges are: it looks at them each second, and sends them if they have changed."""
    return None if figures is None or not child.status else max(0.0, time.monotonic() - figures["told_at"])


def _sum_of(told: list[WorkerSnapshot], name: str) -> int | None:
    found = [snapshot["slots"][name] for snapshot in told if name in snapshot.get("slots", {})]
    return sum(found) if found else None
