"""What the death of a worker means: which jobs it may be due to. Floor 4.

Everything is read from what the worker has left behind: its page, its table of jobs in flight, and what its faulthandler
wrote. Law: evidence is as strong as it is; a SIGKILL from outside proves nothing against the job that happened to be on
the CPU.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from gearpool.page import NO_FUNCTION, Activity, Beat
from gearpool.settings import Settings
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.child import Child

RECENT_S = 1.0
"""A job that was on the CPU so shortly before the end may have broken what the process died of later."""
MAX_NAMED = 20
"""Suspects named in one log event."""

_CRASHED_THREAD = re.compile(r"^Fatal Python error.*?^Current thread 0x([0-9a-fA-F]+)", re.MULTILINE | re.DOTALL)
"""Not in what it wrote when it was only asked where it is: that may be left over."""


class Evidence(NamedTuple):
    """Who may have caused a death.

    Attributes:
        suspects: the jobs; none if no job can be the cause.
        how: what speaks against them, for people.
        certain: it was the one suspect, without doubt.
    """

    suspects: list[Suspect]
    how: str
    certain: bool = False


NOBODY = Evidence([], "")


def evidence(child: Child, settings: Settings, stacks: str, *, stalled: bool) -> Evidence:
    """What speaks against whom after the death of ``child``, or before it is killed.

    Args:
        child: the worker; its page is still open.
        settings: its configuration.
        stacks: what its faulthandler has written at its end.
        stalled: whether it is killed because it does not go on.
    """
    if child.page is None:
        return NOBODY
    beat = child.page.read()
    on_cpu = shown_by(beat, settings)
    rows = [(row, suspect) for row in child.page.jobs.rows() if (suspect := _suspect(row, settings)) is not None]
    crashed = _CRASHED_THREAD.search(stacks)
    if crashed is not None and not stalled:
        thread = int(crashed.group(1), 16)
        threads = [suspect for row, suspect in rows if row.thread == thread]
        if threads:
            return Evidence(threads[:1], "it crashed in a thread that this job had started", certain=True)
    in_native = list(dict.fromkeys(suspect for row, suspect in rows if row.thread))
    everybody = list(dict.fromkeys(suspect for _, suspect in rows))
    killed = not stalled and child.returncode == -signal.SIGKILL
    if on_cpu is not None and not killed:
        others = [suspect for suspect in in_native if suspect != on_cpu]
        if stalled or not others or (child.returncode or 0) < 0:
            return Evidence([on_cpu], "this job was on the CPU", certain=True)
        # It has left by itself (os._exit): that may be done in any thread.
        return Evidence([on_cpu, *others], "this job was on the CPU, or in a native thread,")
    if on_cpu is not None and on_cpu not in everybody:
        everybody.append(on_cpu)
    if stalled and in_native:
        # The event loop does not go on, and no job is on the CPU: native code holds the GIL.
        return Evidence(in_native, "no job was on the CPU; it was running in a native thread")
    last = child.page.last_job()
    if not (killed or stalled) and last is not None and time.monotonic() - last.since < RECENT_S:
        suspect = shown_by(last, settings)
        if suspect is not None and suspect not in everybody:
            everybody.append(suspect)
    return Evidence(everybody, "no job was on the CPU; it was in flight") if everybody else NOBODY


def named(suspects: Sequence[Suspect]) -> list[dict[str, Any]]:
    """Suspects as log fields, the first `MAX_NAMED` of them."""
    return [
        {
            "function": suspect.function,
            "handle": suspect.handle.decode("utf-8", "backslashreplace"),
            "unique": suspect.unique.decode("utf-8", "backslashreplace") or None,
            "server": suspect.server,
        }
        for suspect in suspects[:MAX_NAMED]
    ]


def shown_by(beat: Beat, settings: Settings) -> Suspect | None:
    """The job that ``beat`` shows on the CPU, with what it has started or left behind; None if it shows none."""
    if beat.activity not in {Activity.JOB, Activity.LEFT}:
        return None
    return _named_suspect(beat.function, beat.server, beat.handle, beat.unique, settings)


def _suspect(row: Any, settings: Settings) -> Suspect | None:
    return _named_suspect(row.tag & NO_FUNCTION, row.tag >> 24, row.handle, row.unique, settings)


def _named_suspect(function: int, server: int, handle: bytes, unique: bytes, settings: Settings) -> Suspect | None:
    # A process that was killed in the middle of a write may leave anything.
    if function >= len(settings.functions) or server >= len(settings.servers):
        return None
    return Suspect(settings.functions[function].name, str(settings.servers[server]), handle, unique)
