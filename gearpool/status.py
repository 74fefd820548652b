"""What the daemon tells about itself, as typed records of plain JSON values. Floor 1; pure.

`gearpool status --json`, the control requests ``status`` and ``failures``, and GET /api/status and /api/failures answer with
these. A key is never left out: what is not known is null.
"""

from __future__ import annotations

import hashlib
from typing import TypedDict

MAX_GROUPS = 200
"""Groups of failures, and of stalls, that the supervisor keeps; the one not seen for the longest time is forgotten first."""
MAX_MESSAGE = 500
"""Characters of an exception's message that are kept."""
MAX_TRACE = 8192
"""Bytes of a traceback or a stack that are kept."""


class WorkerRow(TypedDict):
    """One worker process.

    ``told_s`` is the age of what the worker itself has told (``in_progress``, ``slots``, ``loop_lag_s``), null if it has
    told nothing yet; ``told`` says whether it has. ``jobs`` is read from shared memory and always current. ``loop_lag_s``
    is how late its event loop ran in the last second. ``stalled_s`` is for how long it has been blocked, and ``function``,
    ``handle`` and ``unique`` then name the job on its CPU.
    """

    pid: int
    pool: str
    state: str
    generation: int
    age_s: float
    memory_bytes: int
    in_progress: int
    jobs: int
    told: bool
    told_s: float | None
    slots: int | None
    loop_lag_s: float | None
    stalled_s: float
    function: str | None
    handle: str | None
    unique: str | None


class FunctionRow(TypedDict):
    """One function in all workers. ``duration_buckets`` are not cumulative; ``age_s`` is the age of the oldest gauge."""

    outcomes: dict[str, int]
    duration_buckets: list[int]
    duration_sum_s: float
    stalls: int
    in_progress: int
    slots: int | None
    waiting_retry: int
    paused: bool
    breaker_open: bool
    age_s: float | None


class JobServerRow(TypedDict):
    """The embedded job server."""

    pid: int
    state: str
    silent_s: float
    queues: dict[str, object]


class WebRow(TypedDict):
    """The process that serves HTTP; ``pid`` is null while it is restarted."""

    pid: int | None
    state: str
    listen: str


class SlotsRow(TypedDict):
    """Slots of all workers; null before the first has told."""

    limit: int | None
    used: int | None


class DaemonStatus(TypedDict):
    """The daemon. ``time`` is when this was put together, in seconds since the epoch."""

    time: float
    version: str
    host: str
    state: str
    problem: str | None
    pid: int
    config: str
    started: float
    uptime_s: float
    generation: int
    processes: int
    paused: list[str]
    in_progress: int
    workers: list[WorkerRow]
    jobserver: JobServerRow | None
    web: WebRow | None
    restarts: dict[str, int]
    reloads: dict[str, int]
    functions: dict[str, FunctionRow]
    servers: dict[str, bool]
    slots: SlotsRow
    stalls: dict[str, int]
    stall_buckets: list[int]
    stall_sum_s: float
    stall_bounds: list[float]
    duration_bounds: list[float]
    reconnects: int


class FailureGroup(TypedDict):
    """Failures of one function by one exception at one place; message and what follows are those of the last one.

    ``place`` is the innermost frame of the handler's own code, such as ``shop/images.py:41 in thumbnail``. No payload.
    """

    id: str
    function: str
    exception: str
    place: str
    outcome: str
    count: int
    first: float
    last: float
    message: str
    traceback: str
    handle: str | None
    unique: str | None
    server: str | None
    attempt: int | None
    worker: int


class StallGroup(TypedDict):
    """Times in which one function blocked the event loop at one place; ``stack`` and what follows are of the last one."""

    id: str
    function: str
    place: str
    count: int
    total_s: float
    longest_s: float
    first: float
    last: float
    stack: str
    handle: str | None
    worker: int


class Forgotten(TypedDict):
    """How many groups were forgotten because there were too many."""

    failures: int
    stalls: int


class FailuresAnswer(TypedDict):
    """The answer to ``failures``: the groups, the last seen first."""

    failures: list[FailureGroup]
    stalls: list[StallGroup]
    forgotten: Forgotten


def group_id(function: str, kind: str, place: str) -> str:
    """The ``id`` of a group: the same in every process and after every restart. The ``kind`` of a stall is ``stall``."""
    return hashlib.sha256(f"{function}\0{kind}\0{place}".encode("utf-8", "backslashreplace")).hexdigest()[:8]
