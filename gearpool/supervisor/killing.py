"""Ends one job, because an operator says so: by its worker, in place when that is blocked, or with its process. Floor 4.

Law: a worker whose job waits ends it itself. One that is blocked by the job is interrupted in place, as at a timeout; where
that does not help within the job's `timeout_grace` (it is stuck in C, or swallows the interrupt) the process is killed, and
the job is failed, not run, when its server hands it out again.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass

from gearpool import logs
from gearpool.page import Activity, Beat
from gearpool.settings import Settings
from gearpool.stare import IN_PLACE_S, INSIST_S
from gearpool.supervisor.channel import Message
from gearpool.supervisor.child import Child, beat_fields
from gearpool.supervisor.evidence import shown_by
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.pool import Pool
from gearpool.supervisor.questions import Questions
from gearpool.supervisor.states import Stage

REPLY_S = 3.0
"""The operator is told what happens after this time, if the job has not ended by then."""

Reply = Callable[[Message], None]

log = logging.getLogger("gearpool.supervisor")


@dataclass
class _Attempt:
    """The interrupting of one job in place."""

    child: Child
    turn: int
    name: str
    grace_s: float
    reply: Reply | None
    spent_s: float = 0.0

    @property
    def over(self) -> bool:
        """Whether something else is on the CPU now: the job has ended, or waits and is ended by its worker."""
        return self.child.stage is Stage.GONE or self.child.beat().turn != self.turn

    def say(self, answer: Message) -> None:
        """Answer the operator, once."""
        reply, self.reply = self.reply, None
        if reply is not None:
            reply(answer)


class Killing:
    """Kills jobs of one pool of workers.

    Args:
        loop: where the time passes.
        pool: the workers.
        questions: asks them.
    """

    def __init__(self, loop: Loop, pool: Pool, questions: Questions) -> None:
        self._loop = loop
        self._pool = pool
        self._questions = questions

    def kill(self, name: str, reply: Reply) -> None:
        """End the job that ``name`` (``HANDLE`` or ``SERVER/HANDLE``) stands for; ``reply`` is called once."""

        def done(answers: list[Message]) -> None:
            if any(answer.get("result") for answer in answers):
                reply(_killed(name))
                return
            for answer in answers:
                child = self._pool.find(answer["worker"])
                if child is not None and self._interrupt(child, name, reply):
                    return
            silent = [str(answer["worker"]) for answer in answers if "error" in answer]
            if silent:
                text = (
                    f"no worker that answers has a job {name}; if it is one of worker {', '.join(silent)}, which another "
                    "job blocks, it is killed there as soon as that goes on"
                )
            else:
                text = (
                    f"no worker runs a job {name}; `gearpool jobs` lists those that run, "
                    "`gearpool admin cancel` takes away one that waits on the job server"
                )
            reply({"ok": False, "error": text})

        self._questions.ask("kill", done, handle=self._known_here(name))

    def _known_here(self, name: str) -> str:
        """Without the server if that is none of ours: clients may call it by another name than the configuration."""
        server, _, handle = name.rpartition("/")
        settings = self._pool.settings
        known = settings is not None and server in map(str, settings.servers)
        return name if known else handle

    def _interrupt(self, child: Child, name: str, reply: Reply) -> bool:
        """Interrupt the job in place if it is on the CPU of ``child``; False if it is not."""
        beat, settings = child.beat(), self._pool.settings_of(child)
        if child.stage is Stage.GONE or not shows(beat, self._known_here(name), settings):
            return False
        grace_s = settings.functions[beat.function].timeout_grace_s
        assert child.page is not None
        child.page.ask_to_kill(beat.turn)
        attempt = _Attempt(child, beat.turn, name, grace_s + IN_PLACE_S, reply)
        self._insist(attempt)
        return True

    def _insist(self, attempt: _Attempt) -> None:
        if attempt.over:
            attempt.say(_killed(attempt.name))
            return
        attempt.child.signal(signal.SIGUSR2)
        attempt.spent_s += INSIST_S
        if attempt.spent_s >= REPLY_S:
            attempt.say(
                {
                    "ok": False,
                    "error": f"{attempt.name} blocks worker {attempt.child.pid} and has not ended yet; if it has not within "
                    f"{max(0.0, attempt.grace_s - attempt.spent_s):.0f} s, its process is killed and the job failed",
                }
            )
        if attempt.spent_s < attempt.grace_s:
            self._loop.later(INSIST_S, lambda: self._insist(attempt))
            return
        attempt.child.ask_for_stacks(lambda stacks: self._end_process(attempt, stacks))

    def _end_process(self, attempt: _Attempt, stacks: str) -> None:
        child = attempt.child
        if not attempt.over:
            logs.emit(
                log,
                logging.ERROR,
                "worker.killed",
                f"worker {child.pid} is killed to end the job {attempt.name}, which an operator has killed and which cannot "
                "be interrupted; its other jobs are handed out again",
                **beat_fields(child.beat(), self._pool.settings_of(child).functions),
                worker=child.pid,
                stacks=stacks or None,
            )
            suspect = shown_by(child.beat(), self._pool.settings_of(child))
            if suspect is not None:
                self._pool.condemn(suspect)
            child.kill("job_killed")
        attempt.say(_killed(attempt.name))


def shows(beat: Beat, name: str, settings: Settings) -> bool:
    """Whether ``beat`` shows the job ``name`` (``HANDLE`` or ``SERVER/HANDLE``) on the CPU."""
    shown = shown_by(beat, settings) if beat.activity is Activity.JOB else None
    if shown is None:
        return False
    handle = shown.handle.decode("utf-8", "surrogateescape")
    return name in (handle, f"{shown.server}/{handle}")


def _killed(name: str) -> Message:
    return {"ok": True, "result": {"handle": name, "killed": True}}
