"""Turns the end of a run into what is sent: asks the policy, and does what it decided. Floor 3.

Law: exactly one report a job, or none when it is handed back. Nothing here waits; a dead letter is written by a greenlet
of its own.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gevent import GreenletExit

from gearpool import logs
from gearpool.jobs import Draining, End, Interrupt, Job, JobTimeout, Killed, Outcome, known_of
from gearpool.policy import Action, Decision, decide, explain, poisoned
from gearpool.worker.forks import leave
from gearpool.worker.functions import Function
from gearpool.worker.letters import LetterFailed
from gearpool.worker.runs import Run

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool
    from gearpool.worker.session import Session

log = logging.getLogger("gearpool.worker")

MAX_REASON = 64 * 1024
"""Bytes of a reason sent with WORK_EXCEPTION."""


class Verdicts:
    """What happens to jobs that did not simply return, in one pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._letters_under_way = 0

    def outcome(self, run: Run, error: BaseException) -> Outcome:
        """What ``error``, raised by the handler of ``run``, means."""
        return outcome_of(error, run.thrown)

    def conclude(self, run: Run, outcome: Outcome) -> None:
        """Report the job of ``run``, or have it run again, or hand it back. Its slot is given back here."""
        if self._pool.crew.forked:
            leave(outcome.error)
        session, job = run.session, run.job
        function = session.function
        decision = decide(function.settings, function.rules, outcome, job.attempt)
        seconds = time.monotonic() - job.started
        self._note(run, outcome, decision, seconds)
        if session.closed:
            self._pool.drop_slot(function)
            function.counters.ended("orphaned", seconds)
            self._pool.settled(1)
            return
        if decision.action is Action.RETRY:
            function.counters.ended("retried", seconds)
            if self._pool.draining:
                # As those that waited when the drain began.
                self._pool.drop_slot(function)
                session.hand_back()
                return
            keeps_slot = function.waiting >= function.settings.retry.max_waiting
            if not keeps_slot:
                self._pool.drop_slot(function)
            self._pool.retries.add(session, job, decision.delay_s, holds_slot=keeps_slot)
            return
        if decision.action is Action.DEAD_LETTER:
            self._start_letter(session, job, decision, outcome.error, seconds)
            return
        self._finish(session, job, decision, seconds)
        self._pool.drop_slot(function)

    def refuse(self, session: Session, job: Job, kills: int) -> None:
        """A job that came and is not to be run: of a function not served here, or poisoned. It holds a slot."""
        function = session.function
        if job.function != function.name:
            decision = Decision(Action.FAIL, "failed", reason=f"this worker does not serve {job.function}")
            # It takes a job server that is out of order, which may send a thousand.
            self._pool.server_log.emit(
                logging.ERROR, f"job.{decision.label}", decision.reason, key=f"{job.server} {function.name}", **known_of(job)
            )  # fmt: skip
        else:
            decision = poisoned(function.settings, kills)
            logs.emit(log, logging.ERROR, f"job.{decision.label}", decision.reason, **known_of(job))
        function.did_not_come(1)  # it says nothing of the function's health: another one is the probe
        if decision.action is Action.DEAD_LETTER:
            self._start_letter(session, job, decision, None, 0.0)
            return
        self._finish(session, job, decision, 0.0)
        self._pool.drop_slot(function)

    def succeeded(self, function: Function) -> None:
        """A job of a function with a breaker ended well."""
        breaker = function.breaker
        if breaker is not None and breaker.succeeded():
            logs.emit(log, logging.INFO, "breaker.closed", "the probe went well", function=function.name)
            self._pool.resume_function(function)

    def kill(self, session: Session, job: Job) -> None:
        """Fail a job that waited for its retry and holds no slot any more: an operator has killed it."""
        decision = decide(session.function.settings, session.function.rules, Outcome(End.KILLED), job.attempt)
        logs.emit(log, logging.WARNING, f"job.{decision.label}", decision.reason, **known_of(job))
        self._finish(session, job, decision, 0.0)

    @property
    def pending(self) -> int:
        """Letters being written."""
        return self._letters_under_way

    def _finish(self, session: Session, job: Job, decision: Decision, seconds: float) -> None:
        function = session.function
        session.holding -= 1
        label = decision.label
        if decision.action is Action.COMPLETE:
            sent = session.reports.complete(job, decision.result)
        elif decision.action is Action.REQUEUE:
            session.holding += 1
            session.hand_back()
            sent = True
        elif function.settings.report == "exception":
            sent = session.reports.exception(job, decision.reason.encode("utf-8", "surrogateescape")[:MAX_REASON])
            label = "exception" if label == "failed" else label
        else:
            sent = session.reports.fail(job)
        function.counters.ended(label if sent else "orphaned", seconds)
        self._pool.settled(1)

    def _start_letter(
        self, session: Session, job: Job, decision: Decision, error: BaseException | None, seconds: float
    ) -> None:
        self._letters_under_way += 1
        self._pool.crew.run(lambda: self._write_letter(session, job, decision, error, seconds))

    def _write_letter(
        self, session: Session, job: Job, decision: Decision, error: BaseException | None, seconds: float
    ) -> None:
        function = session.function
        to = function.settings.dead_letter
        try:
            if to is None:
                raise LetterFailed("no dead_letter is configured for this function")
            self._pool.letters.write(to, session, job, decision.reason, error)
        except LetterFailed as failure:
            logs.emit(
                log, logging.ERROR, "dead_letter.failed",
                f"the job is handed back to the server instead of failed: {failure}", **known_of(job),
            )  # fmt: skip
            function.counters.ended("requeued", seconds)
            session.hand_back()
            self._pool.settled(1)
        else:
            logs.emit(log, logging.INFO, "dead_letter.written", decision.reason, **known_of(job))
            self._finish(session, job, decision, seconds)
        finally:
            self._letters_under_way -= 1
            self._pool.drop_slot(function)

    def _note(self, run: Run, outcome: Outcome, decision: Decision, seconds: float) -> None:
        """Count for the breaker, and log."""
        function = run.session.function
        if function.breaker is not None and outcome.end is not End.DRAINED:
            if decision.label == "skipped" and outcome.end is End.RAISED:
                self.succeeded(function)
            elif function.breaker.failed(time.monotonic()):
                logs.emit(
                    log, logging.ERROR, "breaker.open", "too many failures in a row: jobs wait on the server",
                    function=function.name, pause_s=function.breaker.settings.pause_s,
                )  # fmt: skip
        level = logging.INFO if decision.action is Action.COMPLETE else logging.WARNING
        fields = known_of(run.job)
        if decision.action is Action.RETRY:
            fields["delay_s"] = round(decision.delay_s, 3)
        error = outcome.error
        if outcome.end is End.RAISED and error is not None and decision.action is not Action.COMPLETE:
            fields["error"] = explain(error)
            if logs.is_enabled(log, level):
                fields["exc_info"] = error
        logs.emit(
            log, level, f"job.{decision.label}", decision.reason, outcome=decision.label,
            duration_s=round(seconds, 6), **fields,
        )  # fmt: skip


def outcome_of(error: BaseException, thrown: list[BaseException]) -> Outcome:
    """What it means that a handler raised ``error`` after ``thrown`` had been raised into it."""
    last: Interrupt | None = None
    for each in thrown:
        if isinstance(each, Killed):
            # Whatever else was raised into it: it must not be run again.
            return Outcome(End.KILLED, error=each)
        if isinstance(each, Interrupt):
            last = each
    if isinstance(error, GreenletExit):
        # It was killed at the end of its grace. What counts is why it had to go.
        error = next((each for each in thrown if isinstance(each, Interrupt)), error)
    if isinstance(error, JobTimeout):
        return Outcome(End.TIMED_OUT, error=thrown[0] if thrown else error)
    if isinstance(error, Draining) and any(isinstance(each, Draining) for each in thrown):
        return Outcome(End.DRAINED, error=error)
    if isinstance(error, Killed):
        return Outcome(End.KILLED, error=error)
    if last is not None:
        # It raised something else on its way out, in a finally, say. What counts is why it had to go.
        end = {JobTimeout: End.TIMED_OUT, Draining: End.DRAINED}.get(type(last), End.KILLED)
        return Outcome(end, error=last)
    return Outcome(End.RAISED, error=error)
