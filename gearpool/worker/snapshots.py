"""The state of a pool as plain values, for operators and metrics. Floor 3.

Invariant: taking a snapshot changes nothing, and the result can be encoded as JSON.
"""

from __future__ import annotations

import time
from typing import Any

from gearpool.jobs import Job, known_of
from gearpool.metrics import FunctionSnapshot, WorkerSnapshot
from gearpool.worker.gates import BreakerState
from gearpool.worker.pool import WorkerPool


def jobs(pool: WorkerPool) -> list[dict[str, Any]]:
    """The jobs that are running or waiting for a retry."""
    now = time.monotonic()
    rows = [_row(run.job, "running", now - run.job.started) for run in pool.running.runs.values()]
    rows += [_row(job, "waiting", -delay) for job, delay in pool.retries.jobs()]
    return rows


def _row(job: Job, state: str, age_s: float) -> dict[str, Any]:
    return {
        **known_of(job),
        "state": state,
        "age_s": round(age_s, 3),
        "progress": job.status,
    }


def snapshot(pool: WorkerPool) -> WorkerSnapshot:
    """Functions, servers and slots of this process; counters never decrease."""
    functions: dict[str, FunctionSnapshot] = {}
    asked: dict[str, int] = {}
    for session in pool.sessions:
        asked[session.function.name] = asked.get(session.function.name, 0) + session.grabs.under_way
    for function in pool.functions.values():
        functions[function.name] = {
            **function.counters.snapshot(),
            "in_progress": function.slots.used - asked.get(function.name, 0),
            "slots": function.slots.limit,
            "waiting_retry": function.waiting,
            "paused": function.paused,
            "breaker_open": function.breaker is not None and function.breaker.state is not BreakerState.CLOSED,
        }
    servers = {str(server): True for server in pool.servers}
    for lane in pool.lanes:
        servers[lane.name] = servers[lane.name] and lane.connected
    return {
        "functions": functions,
        "servers": servers,
        "slots": {"limit": pool.admission.limit, "used": pool.admission.used},
        "reconnects": pool.server_log.reconnects,
        "in_progress": len(pool.running.runs),
        "quiet": pool.admission.quiet,
    }
