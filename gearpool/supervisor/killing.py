"""Kills one job on behalf of an operator. Floor 4.

A worker that is not blocked ends the job itself. If the job blocks its worker, it is interrupted in place, as at a timeout.
If that does not end it within its `timeout_grace` (it is stuck in C code, or swallows the interrupt), the process is
killed, and the job is failed, not run, when its server hands it out again.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass

from gearpool import logs
from gearpool.messages import KillJob
from gearpool.page import Activity, Reading
from gearpool.settings import Settings
from gearpool.stall_detector import IN_PLACE_S, INSIST_S
from gearpool.supervisor.channel import Object
from gearpool.supervisor.child import Child, job_fields
from gearpool.supervisor.evidence import shown_by
from gearpool.supervisor.fleet import Fleet
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.states import ChildState
from gearpool.supervisor.worker_queries import WorkerQueries

REPLY_S = 3.0
"""If the job has not ended by then, the reply says what will happen."""

Reply = Callable[[Object], None]

log = logging.getLogger("gearpool.supervisor")


@dataclass
class _Attempt:
    """An attempt to interrupt one job in place."""

    child: Child
    sequence: int
    name: str
    grace_s: float
    reply: Reply | None
    spent_s: float = 0.0

    @property
    def over(self) -> bool:
        """Whether something else is on the CPU: the job has ended, or has yielded and is ended by its worker."""
        return self.child.state is ChildState.ENDED or self.child.read_page().sequence != self.sequence

    def answer(self, answer: Object) -> None:
        """Answer the operator, once."""
        reply, self.reply = self.reply, None
        if reply is not None:
            reply(answer)


class Killing:
    """Kills jobs.

    Args:
        loop: runs the timers.
        fleet: the workers.
        queries: sends them requests.
    """

    def __init__(self, loop: Loop, fleet: Fleet, queries: WorkerQueries) -> None:
        self._loop = loop
        self._fleet = fleet
        self._queries = queries

    def kill(self, name: str, reply: Reply) -> None:
        """Kill the job ``name`` (``HANDLE`` or ``SERVER/HANDLE``); ``reply`` is called once."""

        def done(answers: list[Object]) -> None:
            if any(answer.get("result") for answer in answers):
                reply(_killed(name))
                return
            for answer in answers:
                child = self._fleet.find(answer["worker"])
                if child is not None and self._interrupt(child, name, reply):
                    return
            silent = [str(answer["worker"]) for answer in answers if "error" in answer]
            if silent:
                text = (
                    f"no worker that answered runs job {name}; worker {', '.join(silent)} did not answer. If the job runs "
                    "there, it will be killed once the worker is no longer blocked"
                )
            else:
                text = (
                    f"no worker runs job {name}; `gearpool jobs` lists the running jobs, "
                    "`gearpool admin cancel` removes one that waits on the job server"
                )
            reply({"ok": False, "error": text})

        handle = self._known_here(name)
        self._queries.ask(lambda number: KillJob(number, handle), done)

    def _known_here(self, name: str) -> str:
        """Remove an unknown server from the name: clients may know it by another name than the configuration."""
        server, _, handle = name.rpartition("/")
        settings = self._fleet.settings
        known = settings is not None and server in map(str, settings.servers)
        return name if known else handle

    def _interrupt(self, child: Child, name: str, reply: Reply) -> bool:
        """Interrupt the job in place if it is on the CPU of ``child``; False if it is not."""
        reading, settings = child.read_page(), self._fleet.settings_of(child)
        if child.state is ChildState.ENDED or not shows(reading, self._known_here(name), settings):
            return False
        grace_s = settings.functions[reading.function].timeout_grace_s
        assert child.page is not None
        child.page.ask_to_kill(reading.sequence)
        attempt = _Attempt(child, reading.sequence, name, grace_s + IN_PLACE_S, reply)
        self._insist(attempt)
        return True

    def _insist(self, attempt: _Attempt) -> None:
        if attempt.over:
            attempt.answer(_killed(attempt.name))
            return
        attempt.child.signal(signal.SIGUSR2)
        attempt.spent_s += INSIST_S
        if attempt.spent_s >= REPLY_S:
            attempt.answer(
                {
                    "ok": False,
                    "error": f"{attempt.name} blocks worker {attempt.child.pid} and has not ended yet; in "
                    f"{max(0.0, attempt.grace_s - attempt.spent_s):.0f} s its process will be killed and the job failed",
                }
            )
        if attempt.spent_s < attempt.grace_s:
            self._loop.later(INSIST_S, lambda: self._insist(attempt))
            return
        attempt.child.ask_for_stacks(lambda stacks: self._end_process(attempt, stacks))

    def _end_process(self, attempt: _Attempt, stacks: str) -> None:
        child = attempt.child
        if not attempt.over:
            reading, settings = child.read_page(), self._fleet.settings_of(child)
            text = (
                f"killing worker {child.pid} to end job {attempt.name}, which an operator has killed and which cannot be "
                "interrupted; the job servers will hand out its other jobs again"
            )
            fields = job_fields(reading, settings.functions)
            logs.emit(log, logging.ERROR, "worker.killed", text, **fields, worker=child.pid, stacks=stacks or None)
            suspect = shown_by(reading, settings)
            if suspect is not None:
                self._fleet.condemn(suspect)
            child.kill("job_killed")
        attempt.answer(_killed(attempt.name))


def shows(reading: Reading, name: str, settings: Settings) -> bool:
    """Whether ``reading`` shows the job ``name`` (``HANDLE`` or ``SERVER/HANDLE``) on the CPU."""
    shown = shown_by(reading, settings) if reading.activity is Activity.JOB else None
    if shown is None:
        return False
    handle = shown.handle.decode("utf-8", "surrogateescape")
    return name in (handle, f"{shown.server}/{handle}")


def _killed(name: str) -> Object:
    return {"ok": True, "result": {"handle": name, "killed": True}}
