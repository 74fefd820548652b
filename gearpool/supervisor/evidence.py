"""Finds the jobs that may have caused the death of a worker. Floor 4.

The sources are what the worker has left behind: its page, its table of jobs in flight, and its faulthandler's output.
Invariant: no job is blamed on weak evidence. A SIGKILL from outside does not incriminate the job on the CPU.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from gearpool.page import NO_FUNCTION, Activity, Reading
from gearpool.settings import Settings
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.child import Child

RECENT_S = 1.0
"""A job that was on the CPU this shortly before the end is a suspect: it may have corrupted the process."""
MAX_NAMED = 20
"""Suspects named in one log event."""

_CRASHED_THREAD = re.compile(r"^Fatal Python error.*?^Current thread 0x([0-9a-fA-F]+)", re.MULTILINE | re.DOTALL)
"""Stacks that were dumped on request may be left over, and do not match."""


class Evidence(NamedTuple):
    """Which jobs may have caused a death.

    Attributes:
        suspects: the jobs; empty if no job can be the cause.
        how: the reason why they are suspected, for the log.
        certain: whether the only suspect is certainly the cause.
    """

    suspects: list[Suspect]
    how: str
    certain: bool = False


NO_SUSPECTS = Evidence([], "")


def evidence(child: Child, settings: Settings, stacks: str, *, stalled: bool) -> Evidence:
    """Find the suspects after the death of ``child``, or before it is killed.

    Args:
        child: the worker; its page is still open.
        settings: its configuration.
        stacks: what its faulthandler wrote when it crashed.
        stalled: whether it is killed because its event loop is blocked.
    """
    if child.page is None:
        return NO_SUSPECTS
    reading = child.page.read()
    on_cpu = shown_by(reading, settings)
    rows = [(row, suspect) for row in child.page.jobs.rows() if (suspect := _suspect(row, settings)) is not None]
    crashed = _CRASHED_THREAD.search(stacks)
    if crashed is not None and not stalled:
        thread = int(crashed.group(1), 16)
        threads = [suspect for row, suspect in rows if row.thread == thread]
        if threads:
            return Evidence(threads[:1], "it crashed in a thread that this job had started", certain=True)
    in_native = list(dict.fromkeys(suspect for row, suspect in rows if row.thread))
    in_flight = list(dict.fromkeys(suspect for _, suspect in rows))
    killed = not stalled and child.returncode == -signal.SIGKILL
    if on_cpu is not None and not killed:
        others = [suspect for suspect in in_native if suspect != on_cpu]
        if stalled or not others or (child.returncode or 0) < 0:
            return Evidence([on_cpu], "this job was on the CPU", certain=True)
        # It called os._exit, which any thread may have done.
        return Evidence([on_cpu, *others], "this job was on the CPU, or in a native thread,")
    if on_cpu is not None and on_cpu not in in_flight:
        in_flight.append(on_cpu)
    if stalled and in_native:
        # The event loop is blocked, and no job is on the CPU: native code holds the GIL.
        return Evidence(in_native, "no job was on the CPU; it was running in a native thread")
    last = child.page.last_job()
    if not (killed or stalled) and last is not None and time.monotonic() - last.since < RECENT_S:
        suspect = shown_by(last, settings)
        if suspect is not None and suspect not in in_flight:
            in_flight.append(suspect)
    return Evidence(in_flight, "no job was on the CPU; it was in flight") if in_flight else NO_SUSPECTS


def named(suspects: Sequence[Suspect]) -> list[dict[str, Any]]:
    """The first `MAX_NAMED` suspects as log fields."""
    return [
        {
            "function": suspect.function,
            "handle": suspect.handle.decode("utf-8", "backslashreplace"),
            "unique": suspect.unique.decode("utf-8", "backslashreplace") or None,
            "server": suspect.server,
        }
        for suspect in suspects[:MAX_NAMED]
    ]


def shown_by(reading: Reading, settings: Settings) -> Suspect | None:
    """The job on the CPU, itself or by a greenlet that it has left behind; None if there is none."""
    if reading.activity not in {Activity.JOB, Activity.LEFT}:
        return None
    return _named_suspect(reading.function, reading.server, reading.handle, reading.unique, settings)


def _suspect(row: Any, settings: Settings) -> Suspect | None:
    return _named_suspect(row.tag & NO_FUNCTION, row.tag >> 24, row.handle, row.unique, settings)


def _named_suspect(function: int, server: int, handle: bytes, unique: bytes, settings: Settings) -> Suspect | None:
    # A process that was killed in the middle of a write may have left anything here.
    if function >= len(settings.functions) or server >= len(settings.servers):
        return None
    return Suspect(settings.functions[function].name, str(settings.servers[server]), handle, unique)
