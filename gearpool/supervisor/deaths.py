"""Handles the death of a worker: blames or suspects jobs, logs it, and informs the other workers. Floor 4.

Invariant: every change of a job's record is sent to all workers, so that all refuse the same jobs and isolate the same
suspects.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from gearpool import logs
from gearpool.messages import Command, Reported, ServerLost, ServerPid, SetNotes, Start
from gearpool.settings import Settings
from gearpool.status import FailureGroup
from gearpool.supervisor.blame import Blame, Entry, Key, Suspect
from gearpool.supervisor.child import Child
from gearpool.supervisor.ended_jobs import failure_of
from gearpool.supervisor.evidence import NO_SUSPECTS, Evidence, evidence, named

STALLED = "stalled"
"""`Child.killed_for` of a worker that was killed because its event loop was blocked."""

log = logging.getLogger("gearpool.supervisor")


class Deaths:
    """The jobs blamed for deaths of the workers of one configuration.

    Args:
        send: sends a command to every worker of the configuration in effect.
        on_blamed: called with each job that is blamed, as a failure.
    """

    def __init__(self, send: Callable[[Command], object], on_blamed: Callable[[FailureGroup], object]) -> None:
        self._send = send
        self._on_blamed = on_blamed
        self._blame = Blame()
        self._server_pids: dict[str, str] = {}

    def forget(self) -> None:
        """Drop all records, because new code was loaded."""
        self._blame = Blame()

    def start(self, settings: Settings) -> Start:
        """The start command for a worker."""
        return Start(settings, self._blame.entries(), self._blame.at_once, dict(self._server_pids))

    def died(self, child: Child, settings: Settings, *, draining: bool) -> Evidence:
        """Handle the death of a worker whose page is still open: find the jobs to blame, record and log them."""
        stalled = child.killed_for == STALLED
        crashed = stalled or (not child.killed_for and (child.returncode != 0 or not draining))
        stacks = child.dumped_stacks()
        found = evidence(child, settings, stacks, stalled=stalled) if crashed else NO_SUSPECTS
        self._log_end(child, found, stacks, expected=draining or (bool(child.killed_for) and not crashed))
        if not found.suspects:
            return found
        if found.certain:
            blamed = found.suspects
            self._blame.blame(blamed[0])
        else:
            blamed = self._blame.suspect(found.suspects)
        self._send_records(suspect.key for suspect in found.suspects)
        for suspect in blamed:
            kills = self._blame.kills(suspect)
            (fields,) = named([suspect])
            text = f"{found.how} when worker {child.pid} died ({child.describe_end()}); deaths blamed on it so far: {kills}"
            logs.emit(log, logging.ERROR, "job.blamed", text, **fields, worker=child.pid, kills=kills)
            self._on_blamed(failure_of(child, settings, suspect, stacks or child.blocked_stacks, text))
        return found

    def condemn(self, suspect: Suspect) -> None:
        """Have this job failed when it is handed out again: an operator killed it together with its process."""
        self._blame.condemn(suspect)
        self._send_records([suspect.key])

    def on_event(self, event: Reported | ServerLost | ServerPid) -> None:
        """Handle an event after which some records must be dropped."""
        if isinstance(event, Reported):
            keys: list[Key] = [(function, server, identity) for function, server, identity in event.jobs]
            self._blame.reported(keys)
            self._send_records(keys)
        elif isinstance(event, ServerLost):
            self._send_records(self._blame.lost(event.server))
        else:
            before = self._server_pids.get(event.server, event.pid)
            self._server_pids[event.server] = event.pid
            if before != event.pid:
                self._send_records(self._blame.lost(event.server))

    def _send_records(self, keys: Iterable[Key]) -> None:
        entries: list[Entry] = [self._blame.entry(key) for key in keys]
        if entries:
            self._send(SetNotes(entries, self._blame.at_once))

    def _log_end(self, child: Child, found: Evidence, stacks: str, *, expected: bool) -> None:
        level = logging.INFO if expected and (child.returncode == 0 or child.killed_for) else logging.ERROR
        if expected and level == logging.ERROR:
            level = logging.WARNING
        extra: dict[str, Any] = {
            "reason": child.killed_for or None,
            "problems": child.failure or None,
            "suspects": named(found.suspects) or None,
            "suspected": len(found.suspects) or None,
            "stacks": stacks or None,
        }
        text = f"worker {child.pid} has ended: {child.describe_end()}"
        logs.emit(log, level, "worker.gone", text, worker=child.pid, **extra)
