"""The state of a pool as plain values."""

from __future__ import annotations

import json

from gearpool.net.addresses import parse_server
from gearpool.settings import BreakerSettings
from gearpool.worker import snapshots
from gearpool.worker.pool import WorkerPool
from gearpool.worker.runs import Run
from tests.worker.plain import Owed
from tests.worker.serving import function

BREAKER = BreakerSettings(failures=1, within_s=60.0, pause_s=60.0)


def test_a_snapshot_is_json_and_shows_functions_servers_and_slots() -> None:
    served = function("work", lambda arg: arg, concurrency=3, breaker=BREAKER)
    pool = WorkerPool([served], [parse_server("s:1")], concurrency=7)
    served.slots.used = pool.admission.used = 2
    assert served.breaker is not None
    served.breaker.failed(0.0)
    pool.pause("work")
    pool.quiet()
    snapshot = json.loads(json.dumps(snapshots.snapshot(pool)))
    state = snapshot["functions"]["work"]
    assert (state["in_progress"], state["slots"], state["waiting_retry"]) == (2, 3, 0)
    assert (state["paused"], state["breaker_open"]) == (True, True)
    assert snapshot["slots"] == {"limit": 7, "used": 2}
    assert snapshot["servers"] == {"s:1": True}
    assert (snapshot["in_progress"], snapshot["reconnects"], snapshot["quiet"]) == (0, 0, True)


def test_jobs_lists_running_jobs_and_those_that_wait_for_a_retry() -> None:
    owed = Owed()
    pool = WorkerPool([owed.function], [])
    running, waiting = owed.job(b"H:running"), owed.job(b"H:waiting")
    running.progress(1, 4)
    pool.running.begin(Run(owed.replies, running, object()))
    pool.retries.add(owed.replies, waiting, 3600.0, holds_slot=False)
    rows = json.loads(json.dumps(snapshots.jobs(pool)))
    assert [(row["handle"], row["state"], row["progress"]) for row in rows] == [
        ("H:running", "running", [1, 4]),
        ("H:waiting", "waiting", None),
    ]
    assert rows[0]["age_s"] > 0 > rows[1]["age_s"]
    pool.retries.hand_back()
