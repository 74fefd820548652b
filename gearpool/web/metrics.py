"""The daemon's status as metrics. Floor 3; pure.

Counters come from the supervisor, which keeps those of workers that have ended, so none falls while the daemon lives. Every
series exists from the start, with 0, so that ``increase`` sees the first failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gearpool.metrics import OUTCOMES
from gearpool.status import DaemonStatus
from gearpool.web import metric_names as names
from gearpool.web.exposition import Family, build_info, family, histogram

POOL = "default"
"""The only pool of worker processes that there is."""


def families(status: DaemonStatus) -> Iterator[Family]:
    """The metric families of the daemon, each once."""
    functions = status["functions"]
    states = Counter((worker["pool"], worker["state"]) for worker in status["workers"])
    pools = sorted({POOL, *(worker["pool"] for worker in status["workers"])})
    yield build_info()
    yield family(names.START_TIME, [([], status["started"])])
    yield family(
        names.WORKERS, [([pool, state], states[pool, state]) for pool in pools for state in names.WORKER_STATES]
    )
    yield family(
        names.JOBS,
        [([name, how], row["outcomes"].get(how, 0)) for name, row in functions.items() for how in OUTCOMES],
    )
    yield histogram(
        names.JOB_DURATION,
        status["duration_bounds"],
        (([name], row["duration_buckets"], row["duration_sum_s"]) for name, row in functions.items()),
    )
    yield family(names.JOBS_IN_PROGRESS, [([name], row["in_progress"]) for name, row in functions.items()])
    yield family(names.JOBS_WAITING_RETRY, [([name], row["waiting_retry"]) for name, row in functions.items()])
    yield family(names.SLOTS, [([name], row["slots"]) for name, row in functions.items() if row["slots"] is not None])
    capacity = status["slots"]["limit"]
    yield family(names.CAPACITY, [] if capacity is None else [([], capacity)])
    yield family(names.SERVER_CONNECTED, [([name], connected) for name, connected in status["servers"].items()])
    yield family(names.RECONNECTS, [([], status["reconnects"])])
    yield histogram(names.HUB_STALL, status["stall_bounds"], [([], status["stall_buckets"], status["stall_sum_s"])])
    counts = {name: row["stalls"] for name, row in functions.items()} | status["stalls"]
    yield family(names.STALLS, [([name], count) for name, count in counts.items()])
    yield family(names.CHILD_RESTARTS, [([POOL, reason], count) for reason, count in status["restarts"].items()])
    memory = [([worker["pool"], str(worker["pid"])], worker["memory_bytes"]) for worker in status["workers"]]
    yield family(names.CHILD_MEMORY, memory)
    yield family(names.CONFIG_RELOADS, [([result], count) for result, count in status["reloads"].items()])
    yield family(names.BREAKER_OPEN, [([name], row["breaker_open"]) for name, row in functions.items()])
