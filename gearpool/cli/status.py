"""`gearpool status`: the daemon, its workers, functions and servers. Floor 5."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gearpool.cli import control, failures, tables
from gearpool.cli.tables import brief, counted, duration, size, table
from gearpool.metrics import BOUNDS, GIVEN_UP

HELP = "Show the running daemon, its worker processes, functions and job servers. Answers while workers are blocked."
EXAMPLES = """\
examples:
  gearpool status
  gearpool status -c workers.yaml --json | jq .functions

IN PROGRESS is jobs of how many that may run at once, WAITING those that wait for a retry. FAILED counts every run that was
given up: failed, exception, timeout, dead letter, poisoned. P50 and P95: half of the runs, and 95 of 100, took no longer.
LAG is how late the event loop of a worker ran in the last second. Counts are always current; of a worker that is blocked or
stopped the status says how old the other figures are.
"""

FAILED = GIVEN_UP
"""Outcomes after which nobody has a result and the job is not run again."""

configure = control.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask and show."""
    status = control.ask(arguments, "status")
    recently = [] if arguments.json else failures.recent_lines(arguments)
    return control.show(arguments, status, lambda status: as_text(status, recently, tables.screen_width()))


def as_text(status: Any, recently: Sequence[str] = (), width: int | None = None) -> str:
    """The status for people; ``recently`` are lines about failures and stalls, tables take at most ``width`` columns."""
    parts = [headline(status)]
    if status["jobserver"] is not None:
        parts.append(f"embedded job server: process {status['jobserver']['pid']}, {status['jobserver']['state']}")
    web = status.get("web")
    if web is not None:
        parts.append(f"http: process {web['pid'] or '(being restarted)'}, {web['state']}, on {web['listen']}")
    parts.append(workers_table(status["workers"], width))
    if status["functions"]:
        rows = [function_row(name, function) for name, function in sorted(status["functions"].items())]
        parts.append(table(("FUNCTION", *FUNCTION_HEAD), rows, left=1, width=width))
    sections = (list(notes(status)), list(function_notes(status["functions"])), list(recently), list(incidents(status)))
    parts += ["\n".join(lines) for lines in sections if lines]
    if status["servers"]:
        parts.append(table(("SERVER", "STATE"), server_rows(status), width=width))
    return "\n\n".join(parts)


def headline(status: Any) -> str:
    """One line about the daemon as a whole."""
    up = duration(status["uptime_s"])
    jobs = counted(status["in_progress"], "job")
    line = f"{status['state']}: process {status['pid']}, up {up}, {status['config']}, {jobs}"
    return f"{line}; paused: {', '.join(status['paused'])}" if status["paused"] else line


def workers_table(workers: Any, width: int | None = None) -> str:
    """A row a process."""
    return table(_WORKERS, [_worker(worker) for worker in workers], left=2, width=width)


_WORKERS = ("WORKER", "STATE", "UP", "MEMORY", "JOBS", "IN PROGRESS", "LAG", "BLOCKED")


def _worker(worker: Any) -> tuple[object, ...]:
    blocked = duration(worker["stalled_s"]) if worker["stalled_s"] else ""
    up, memory = duration(worker["age_s"]), size(worker["memory_bytes"])
    lag = worker.get("loop_lag_s")
    late = "" if lag is None else brief(lag)
    progress = used_of(worker["in_progress"], worker.get("slots")) if worker.get("told", True) else "?"
    return worker["pid"], worker["state"], up, memory, worker["jobs"], progress, late, blocked


FUNCTION_HEAD = ("IN PROGRESS", "COMPLETE", "FAILED", "WAITING", "P50", "P95")


def function_row(name: str, function: Mapping[str, Any]) -> tuple[object, ...]:
    """Name and the columns of FUNCTION_HEAD."""
    outcomes = function.get("outcomes") or {}
    buckets = function.get("duration_buckets") or []
    return (
        name,
        used_of(function.get("in_progress", 0), function.get("slots")),
        outcomes.get("complete", 0),
        failed(outcomes),
        function.get("waiting_retry", 0) or "",
        percentile(buckets, 0.5),
        percentile(buckets, 0.95),
    )


def failed(outcomes: Mapping[str, int]) -> int:
    """Runs that were given up, whatever their end."""
    return sum(outcomes.get(outcome, 0) for outcome in FAILED)


def used_of(used: int, limit: int | None) -> str:
    """Such as ``3/100``."""
    return str(used) if limit is None else f"{used}/{limit}"


def percentile(buckets: list[int], share: float) -> str:
    """An upper bound of the time that this share of the runs took, from the histogram; empty without runs."""
    wanted = share * sum(buckets)
    if not wanted:
        return ""
    seen = 0
    for count, bound in zip(buckets, BOUNDS, strict=False):
        seen += count
        if seen >= wanted:
            return f"<{brief(bound)}"
    return f">{brief(BOUNDS[-1])}"


def notes(status: Any) -> Iterator[str]:
    """What the numbers do not tell: that nothing is served, how old they are, and what is not known at all."""
    if status.get("problem"):
        yield f"nothing is served: {status['problem']}"
    for worker in status["workers"]:
        if worker["stalled_s"]:
            job = " ".join(str(worker[name]) for name in ("function", "handle") if worker.get(name))
            known = f": {_age(worker['told_s'])}" if worker.get("told_s") is not None else ""
            yield (
                f"worker {worker['pid']} has been blocked for {duration(worker['stalled_s'])}{f' by {job}' if job else ''}"
                f"{known}"
            )
        elif (worker.get("told_s") or 0.0) > OLD_S:
            yield f"worker {worker['pid']}: {_age(worker['told_s'])}"
        elif not worker.get("told", True):
            yield f"worker {worker['pid']} has told nothing yet: its jobs in progress and servers are not shown here"
    if not status["functions"]:
        yield "no worker has told of its functions and job servers yet"


OLD_S = 3.0
"""A worker tells its figures each second: older ones are worth a note."""


def _age(told_s: float) -> str:
    return f"figures {duration(told_s)} old"


def incidents(status: Any) -> Iterator[str]:
    """How often each function has blocked its process, why workers were replaced, and reloads that failed."""
    stalls = [f"{name or '(no job)'} {count}" for name, count in sorted(status.get("stalls", {}).items()) if count]
    if stalls:
        yield f"stalls: {', '.join(stalls)}"
    restarts = [f"{count} {reason}" for reason, count in sorted(status.get("restarts", {}).items()) if count]
    if restarts:
        yield f"workers replaced: {', '.join(restarts)}"
    if status.get("reloads", {}).get("failed"):
        yield f"reloads that failed: {status['reloads']['failed']}"


def function_notes(functions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each function of which there is more to say than its row: paused, breaker, how its runs ended."""
    for name, function in sorted(functions.items()):
        said = marks(function)
        outcomes = function.get("outcomes") or {}
        said += [
            f"{count} {outcome}"
            for outcome, count in outcomes.items()
            if count and outcome not in ("complete", "failed")
        ]
        if said:
            yield f"{name}: {', '.join(said)}"


def marks(function: Mapping[str, Any]) -> list[str]:
    """Why a function does not grab."""
    return ["paused"] * bool(function.get("paused")) + ["breaker open"] * bool(function.get("breaker_open"))


CONNECTING_S = 3.0
"""So long after its start a worker may not have told of its connections yet; it tells every second."""


def server_rows(status: Any) -> list[tuple[str, str]]:
    """Each job server and whether the workers are connected to it."""
    young = any(worker["age_s"] < CONNECTING_S for worker in status["workers"])
    away = "connecting" if young else "not connected"
    return [(name, "connected" if up else away) for name, up in sorted(status["servers"].items())]
