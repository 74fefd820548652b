"""Compares two configurations and decides whether a reload needs new worker processes. Floor 4; pure.

Only changes known to be safe while jobs run are applied to running processes.
"""

from __future__ import annotations

import dataclasses
import enum

from gearpool.settings import FunctionSettings, Settings

LIVE_FUNCTION_KEYS = frozenset({"concurrency", "rate_per_s", "weight", "timeout_s", "timeout_grace_s"})
LIVE_KEYS = frozenset({"concurrency", "log", "drain_timeout_s", "stall_timeout_s", "recycle", "processes", "http"})


class Takes(enum.Enum):
    """What the change to a new configuration needs."""

    NEW_PROCESSES = "new processes"
    NOTHING = "applied to the running processes"


def takes(old: Settings, new: Settings) -> Takes:
    """NOTHING if only settings differ that a running worker can apply, else NEW_PROCESSES.

    Equal configurations take NEW_PROCESSES: a reload of an unchanged file is meant to load new code.
    """
    if old == new:
        return Takes.NEW_PROCESSES
    if _without(old, LIVE_KEYS | {"functions"}) != _without(new, LIVE_KEYS | {"functions"}):
        return Takes.NEW_PROCESSES
    if len(old.functions) != len(new.functions):
        return Takes.NEW_PROCESSES
    pairs = zip(old.functions, new.functions, strict=True)
    if any(_without(mine, LIVE_FUNCTION_KEYS) != _without(theirs, LIVE_FUNCTION_KEYS) for mine, theirs in pairs):
        return Takes.NEW_PROCESSES
    return Takes.NOTHING


def refusals(old: Settings, new: Settings) -> list[str]:
    """Changes that need a restart of the daemon, one line each."""
    found = []
    if old.embedded != new.embedded:
        found.append("embedded: the embedded job server cannot be changed by a reload; restart gearpool")
    if old.control != new.control:
        found.append("control: the control socket cannot be changed by a reload; restart gearpool")
    return found


def _without(value: Settings | FunctionSettings, keys: frozenset[str]) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.name not in keys}
