"""How the daemon is, without asking anybody: for the control socket and the service manager. Floor 4."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from gearpool.supervisor.channel import Message
from gearpool.supervisor.child import beat_fields
from gearpool.supervisor.states import Life
from gearpool.supervisor.totals import jobs_run

if TYPE_CHECKING:
    from gearpool.supervisor.child import Child
    from gearpool.supervisor.daemon import Daemon


def state(daemon: Daemon) -> str:
    """One word."""
    return "quiet" if daemon.pool.quiet and daemon.life is Life.RUNNING else daemon.life.value


def in_progress(daemon: Daemon) -> int:
    """Jobs in progress as far as the workers have told."""
    return sum(_in_progress(child, _on_cpu(daemon, child)) for child in daemon.pool.all())


def _in_progress(child: Child, on_cpu: Message) -> int:
    """A worker that blocked before it could tell of its job has one all the same."""
    return max(int(child.status.get("in_progress", 0)), bool(on_cpu))


def not_serving(daemon: Daemon) -> str:
    """Why no job can be run now, empty if jobs can be, or if that is wanted: the daemon drains, or is quiet."""
    if daemon.life in {Life.DRAINING, Life.STOPPED}:
        return ""
    pool = daemon.pool
    if not pool.serving():
        starting = sum(child.starting for child in pool.all())
        return f"no worker is ready; {starting} are starting"
    settings, jobserver = pool.settings, daemon.keeper.child
    if settings is not None and settings.embedded is not None and (jobserver is None or not jobserver.serving):
        return "the embedded job server is not ready"
    if daemon.keeper.silent_s:
        return f"the embedded job server has not responded for {daemon.keeper.silent_s:.0f} s"
    return ""


def summary(daemon: Daemon) -> str:
    """One line for people."""
    problem = not_serving(daemon)
    if problem:
        return f"{state(daemon)}, but {problem}"
    return f"{state(daemon)}: {len(daemon.pool.serving())} workers, {in_progress(daemon)} jobs in progress"


def files(daemon: Daemon) -> Message:
    """The configuration file as it was given, and which file that is now if links lead elsewhere."""
    path = daemon.options.path
    real = os.path.realpath(path)
    return {"config": path} if real == path else {"config": path, "config_resolved": real}


def status(daemon: Daemon) -> Message:
    """All of it."""
    pool, jobserver = daemon.pool, daemon.keeper.child
    total = pool.totals.view(child.status for child in pool.all())
    return {
        "state": state(daemon),
        "problem": not_serving(daemon) or None,
        "pid": os.getpid(),
        "config": daemon.options.path,
        "started": daemon.started,
        "uptime_s": round(time.time() - daemon.started, 3),
        "generation": pool.generation,
        "processes": pool.wanted,
        "paused": sorted(pool.paused),
        "in_progress": in_progress(daemon),
        "workers": [_worker(daemon, child) for child in pool.all()],
        "jobserver": None
        if jobserver is None
        else {
            "pid": jobserver.pid,
            "state": jobserver.stage.value,
            "silent_s": round(daemon.keeper.silent_s, 3),
            "queues": jobserver.status.get("queues", {}),
        },
        "restarts": dict(pool.restarts),
        "reloads": dict(daemon.reloader.results),
        "functions": total.get("functions", {}),
        "servers": total.get("servers", {}),
        "slots": total.get("slots", {}),
        "stalls": total.get("stalls", {}),
        "reconnects": total.get("reconnects", 0),
    }


def _worker(daemon: Daemon, child: Child) -> Message:
    on_cpu = _on_cpu(daemon, child)
    return {
        "pid": child.pid,
        "state": child.stage.value,
        "generation": child.generation,
        "age_s": round(child.age_s, 3),
        "memory_bytes": child.memory_bytes(),
        "in_progress": _in_progress(child, on_cpu),
        "jobs": jobs_run(child.status),
        "told": bool(child.status),
        "slots": child.status.get("slots", {}).get("limit"),
        "stalled_s": round(daemon.guard.stalled_s(child), 3),
        **on_cpu,
    }


def _on_cpu(daemon: Daemon, child: Child) -> Message:
    """The job that blocks the worker: function, handle and unique, as text; empty while it is not blocked.

    What a worker has told holds until it tells otherwise; one that is blocked cannot, but its page shows its job.
    """
    if not daemon.guard.stalled_s(child):
        return {}
    fields = beat_fields(child.beat(), daemon.pool.settings_of(child).functions)
    return {
        name: value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        for name, value in fields.items()
    }
