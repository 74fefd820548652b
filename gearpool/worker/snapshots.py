"""What a pool does, as plain values, for operators and metrics. Floor 3.

Law: looking changes nothing, and what comes out is JSON as it is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gearpool.jobs import Job, known_of
from gearpool.worker.gates import BreakerState

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool


def jobs(pool: Pool) -> list[dict[str, Any]]:
    """The jobs in progress and waiting, oldest first."""
    now = time.monotonic()
    rows = [_row(run.job, "running", now - run.job.started) for run in pool.runs.values()]
    rows += [_row(job, "waiting", -delay) for job, delay in pool.retries.jobs()]
    return rows


def _row(job: Job, state: str, age_s: float) -> dict[str, Any]:
    return {
        **known_of(job),
        "state": state,
        "age_s": round(age_s, 3),
        "progress": job.status,
    }


def snapshot(pool: Pool) -> dict[str, Any]:
    """Functions, servers and slots of this process; counters only grow."""
    functions = {}
    asked: dict[str, int] = {}
    for session in pool.sessions:
        asked[session.function.name] = asked.get(session.function.name, 0) + session.asked
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
        "slots": {"limit": pool.slots.limit, "used": pool.slots.used},
        "reconnects": pool.server_log.reconnects,
        "in_progress": len(pool.runs),
        "quiet": pool.quiet,
    }
