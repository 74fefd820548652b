"""Groups what ended together with its process: the stall for which it was killed, the job to blame for a crash. Floor 4.

A worker cannot report these itself. Its page shows the job, its faulthandler the place.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from gearpool.page import Reading
from gearpool.places import Frame, cut_trace, dumped, place_of
from gearpool.settings import Settings
from gearpool.status import FailureGroup, StallGroup, group_id
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.child import Child, job_fields

BLOCKED = "process killed: it was blocked"


def stall_of(child: Child, settings: Settings, reading: Reading, stacks: str, seconds: float) -> StallGroup:
    """The stall for which ``child`` is killed; ``stacks`` is what its faulthandler wrote."""
    fields = job_fields(reading, settings.functions)
    function = str(fields.get("function", ""))
    place = _place(function, settings, dumped(stacks))
    now = time.time()
    return {
        "id": group_id(function, "stall", place), "function": function, "place": place, "count": 1, "total_s": seconds,
        "longest_s": seconds, "first": now, "last": now, "stack": cut_trace(stacks), "handle": fields.get("handle"),
        "worker": child.pid,
    }  # fmt: skip


def failure_of(child: Child, settings: Settings, suspect: Suspect, stacks: str, reason: str) -> FailureGroup:
    """The failure of a job that is blamed for the death of ``child``; its server hands it out again."""
    exception = BLOCKED if child.killed_for else f"process {child.describe_end()}"
    place = _place(suspect.function, settings, dumped(stacks))
    now = time.time()
    return {
        "id": group_id(suspect.function, exception, place), "function": suspect.function, "exception": exception,
        "place": place, "outcome": "requeued", "count": 1, "first": now, "last": now, "message": reason,
        "traceback": cut_trace(stacks), "handle": suspect.handle.decode("utf-8", "backslashreplace"),
        "unique": suspect.unique.decode("utf-8", "backslashreplace") or None, "server": suspect.server, "attempt": None,
        "worker": child.pid,
    }  # fmt: skip


def _place(function: str, settings: Settings, frames: tuple[Frame, ...]) -> str:
    """``frames`` have the innermost last."""
    handlers = [each.handler for each in settings.functions if each.name == function]
    package = handlers[0].replace(":", ".").partition(".")[0] if handlers else ""
    roots = [os.path.realpath(Path(settings.base, folder)) for folder in settings.import_path]
    return place_of(frames, package, roots)
