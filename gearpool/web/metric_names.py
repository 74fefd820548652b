"""The metrics that gearpool exposes: name, kind, labels and meaning of each. Pure.

The exposition, the alert rules and the dashboard in ``deploy/`` take names and labels from this table only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. The name is the one that is exposed: that of a counter ends in ``_total``."""

    name: str
    kind: Literal["gauge", "counter", "histogram", "info"]
    labels: tuple[str, ...]
    help: str


BUILD_INFO = Metric("gearpool_build_info", "info", ("version",), "The version of gearpool, as a label; the value is 1.")
START_TIME = Metric(
    "gearpool_start_time_seconds", "gauge", (), "When the daemon was started, in seconds since the epoch."
)
WORKERS = Metric(
    "gearpool_workers", "gauge", ("pool", "state"), "Worker processes by state; only those that are ready take jobs."
)
WORKER_STATES = ("starting", "ready", "retiring", "draining", "killed")
"""The states of `WORKERS`, each exposed whether a process is in it or not."""
JOBS = Metric("gearpool_jobs_total", "counter", ("function", "outcome"), "Jobs that ended, by outcome.")
JOB_DURATION = Metric(
    "gearpool_job_duration_seconds", "histogram", ("function",), "How long jobs ran, from their start to their outcome."
)
JOBS_IN_PROGRESS = Metric("gearpool_jobs_in_progress", "gauge", ("function",), "Jobs that are running now.")
JOBS_WAITING_RETRY = Metric(
    "gearpool_jobs_waiting_retry", "gauge", ("function",), "Jobs that failed and wait for their next attempt."
)
SLOTS = Metric("gearpool_slots", "gauge", ("function",), "How many jobs of the function can run at once.")
CAPACITY = Metric("gearpool_capacity", "gauge", (), "How many jobs all worker processes together can run at once.")
SERVER_CONNECTED = Metric(
    "gearpool_server_connected", "gauge", ("server",), "Whether any worker process is connected to the job server."
)
RECONNECTS = Metric("gearpool_reconnects_total", "counter", (), "Connections to job servers that were made again.")
HUB_STALL = Metric(
    "gearpool_hub_stall_seconds", "histogram", (), "How long handlers blocked the event loop of their process."
)
STALLS = Metric(
    "gearpool_stalls_total", "counter", ("function",), "How many times a handler blocked its event loop too long."
)
CHILD_RESTARTS = Metric(
    "gearpool_child_restarts_total", "counter", ("pool", "reason"), "Child processes that were replaced, by reason."
)
CHILD_MEMORY = Metric(
    "gearpool_child_memory_bytes", "gauge", ("pool", "pid"), "Resident memory of each worker process."
)
CONFIG_RELOADS = Metric(
    "gearpool_config_reloads_total", "counter", ("result",), "Reloads of the configuration: ok or failed."
)
BREAKER_OPEN = Metric(
    "gearpool_breaker_open",
    "gauge",
    ("function",),
    "Whether any worker process takes no jobs of the function because they kept failing.",
)

GEARMAN_UP = Metric("gearman_up", "gauge", ("server",), "Whether the job server answered when it was last asked.")
GEARMAN_JOBS = Metric(
    "gearman_jobs", "gauge", ("server", "function"), "Jobs that are queued or running on the job server."
)
GEARMAN_JOBS_RUNNING = Metric(
    "gearman_jobs_running", "gauge", ("server", "function"), "Jobs of the job server that a worker is running."
)
GEARMAN_JOBS_WAITING = Metric(
    "gearman_jobs_waiting",
    "gauge",
    ("server", "function", "priority"),
    'Jobs that wait for a worker, by priority: high, normal, low. A job server without the command "prioritystatus" '
    "cannot tell priorities; all its waiting jobs have the priority unknown.",
)
GEARMAN_WORKERS = Metric(
    "gearman_workers", "gauge", ("server", "function"), "Worker connections that are registered for the function."
)

DAEMON: tuple[Metric, ...] = (
    BUILD_INFO,
    START_TIME,
    WORKERS,
    JOBS,
    JOB_DURATION,
    JOBS_IN_PROGRESS,
    JOBS_WAITING_RETRY,
    SLOTS,
    CAPACITY,
    SERVER_CONNECTED,
    RECONNECTS,
    HUB_STALL,
    STALLS,
    CHILD_RESTARTS,
    CHILD_MEMORY,
    CONFIG_RELOADS,
    BREAKER_OPEN,
)
"""What only the daemon exposes."""

GEARMAN: tuple[Metric, ...] = (
    GEARMAN_UP,
    GEARMAN_JOBS,
    GEARMAN_JOBS_RUNNING,
    GEARMAN_JOBS_WAITING,
    GEARMAN_WORKERS,
)
"""What `gearpool exporter` exposes, and the daemon as well."""

ALL: tuple[Metric, ...] = (*DAEMON, *GEARMAN)
