"""`gearpool status`: the daemon, its workers, functions and servers. Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control

HELP = "Show the running daemon, its worker processes, functions and job servers. Answers while workers are blocked."
EXAMPLES = """\
examples:
  gearpool status
  gearpool status -c workers.yaml --json | jq .functions
"""

configure = control.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask and show."""
    return control.show(arguments, control.ask(arguments, "status"), as_text)


def as_text(status: Any) -> str:
    """The status for people."""
    up = control.duration(status["uptime_s"])
    parts = [f"{status['state']}: process {status['pid']}, up {up}, {status['config']}, {status['in_progress']} jobs"]
    if status["paused"]:
        parts.append(f"paused: {', '.join(status['paused'])}")
    if status["jobserver"] is not None:
        parts.append(f"embedded job server: process {status['jobserver']['pid']}, {status['jobserver']['state']}")
    parts.append(control.table(_WORKERS, [_worker(worker) for worker in status["workers"]]))
    if status["functions"]:
        parts.append(control.table(_FUNCTIONS, [_function(*item) for item in sorted(status["functions"].items())]))
    if status["servers"]:
        parts.append(control.table(("SERVER", "STATE"), [_server(*item) for item in sorted(status["servers"].items())]))
    return "\n\n".join(parts)


_WORKERS = ("WORKER", "STATE", "UP", "MEMORY", "JOBS", "IN PROGRESS", "BLOCKED")
_FUNCTIONS = ("FUNCTION", "IN PROGRESS", "COMPLETE", "FAILED", "OTHER")


def _worker(worker: Any) -> tuple[object, ...]:
    blocked = control.duration(worker["stalled_s"]) if worker["stalled_s"] else ""
    up, memory = control.duration(worker["age_s"]), control.size(worker["memory_bytes"])
    return worker["pid"], worker["state"], up, memory, worker["jobs"], worker["in_progress"], blocked


def _function(name: str, function: Any) -> tuple[object, ...]:
    outcomes = dict(function.get("outcomes") or {})
    complete, failed = outcomes.pop("complete", 0), outcomes.pop("failed", 0)
    other = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if count)
    return name, function.get("in_progress", 0), complete, failed, other


def _server(name: str, connected: bool) -> tuple[object, ...]:
    return name, "connected" if connected else "not connected"
