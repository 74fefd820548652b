"""Applies the policy to the outcome of a job: reports, retries, dead-letters or hands back the job. Floor 3.

Invariant: each job is reported exactly once, or not at all if it is handed back. Nothing here blocks: dead letters are
written in greenlets of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gevent import GreenletExit

from gearpool import logs
from gearpool.jobs import Draining, End, Interrupt, Job, JobTimeout, Killed, Outcome, known_of
from gearpool.places import exception_name
from gearpool.policy import Action, Decision, decide, explain, poisoned
from gearpool.worker.admission import Admission
from gearpool.worker.dead_letters import DeadLetterFailed, DeadLetters
from gearpool.worker.failures import FOREIGN, POISONED, Failures
from gearpool.worker.forks import leave
from gearpool.worker.functions import Function
from gearpool.worker.greenlet_pool import GreenletPool
from gearpool.worker.replies import Replies
from gearpool.worker.retries import Retries
from gearpool.worker.runs import Run
from gearpool.worker.server_log import ServerLog

log = logging.getLogger("gearpool.worker")

MAX_REASON = 64 * 1024
"""Maximum size of the reason sent with WORK_EXCEPTION, in bytes."""


class Verdicts:
    """Decides what happens to the jobs of one process that did not simply return.

    Args:
        on_gate_open: called with a function whose breaker has closed, so that its sessions may grab again.

    Attributes:
        draining: jobs that would be retried are handed back instead.
    """

    def __init__(
        self,
        admission: Admission,
        greenlets: GreenletPool,
        retries: Retries,
        dead_letters: DeadLetters,
        server_log: ServerLog,
        failures: Failures,
        on_gate_open: Callable[[Function], None],
    ) -> None:
        self._admission = admission
        self._greenlets = greenlets
        self._retries = retries
        self._dead_letters = dead_letters
        self._server_log = server_log
        self._failures = failures
        self._on_gate_open = on_gate_open
        self.draining = False

    def conclude(self, run: Run, outcome: Outcome) -> None:
        """Report the job of ``run``, retry it, or hand it back; release its slot."""
        if self._greenlets.forked:
            leave(outcome.error)
        replies, job = run.replies, run.job
        function = replies.function
        decision = decide(function.settings, function.rules, outcome, job.attempt)
        seconds = time.monotonic() - job.started
        self._note(run, outcome, decision, seconds)
        if decision.action not in (Action.COMPLETE, Action.REQUEUE) and outcome.error is not None:
            label = "orphaned" if replies.closed else _counted_as(function, decision)
            self._failures.failed(function, job, label, outcome.error, run.greenlet)
        if replies.closed:
            self._admission.release(function.slots)
            function.counters.ended("orphaned", seconds)
            self._admission.jobs_ended(1)
            return
        if decision.action is Action.RETRY:
            function.counters.ended("retried", seconds)
            if self.draining:
                # As the jobs that were waiting when the drain began.
                self._admission.release(function.slots)
                replies.hand_back()
                return
            holds_slot = function.waiting >= function.settings.retry.max_waiting
            if not holds_slot:
                self._admission.release(function.slots)
            self._retries.add(replies, job, decision.delay_s, holds_slot=holds_slot)
            return
        if decision.action is Action.DEAD_LETTER:
            self._start_dead_letter(replies, job, decision, outcome.error, seconds)
            return
        self._finish(replies, job, decision, seconds)
        self._admission.release(function.slots)

    def refuse(self, replies: Replies, job: Job, kills: int) -> None:
        """Refuse to run a job, which has a slot: it is poisoned, or its function is not served here."""
        function = replies.function
        if job.function != function.name:
            decision = Decision(Action.FAIL, "failed", reason=f"this worker does not serve {job.function}")
            # Only a faulty server does this, and it may send thousands.
            self._server_log.emit(
                logging.ERROR, f"job.{decision.label}", decision.reason, key=f"{job.server} {function.name}", **known_of(job)
            )  # fmt: skip
            kind = FOREIGN
        else:
            decision = poisoned(function.settings, kills)
            logs.emit(log, logging.ERROR, f"job.{decision.label}", decision.reason, **known_of(job))
            kind = POISONED if decision.label == "poisoned" else exception_name(Killed())
        self._failures.refused(function, job, _counted_as(function, decision), kind, decision.reason)
        function.return_grabs(1)  # it does not show whether the function works, so the breaker needs another probe
        if decision.action is Action.DEAD_LETTER:
            self._start_dead_letter(replies, job, decision, None, 0.0)
            return
        self._finish(replies, job, decision, 0.0)
        self._admission.release(function.slots)

    def succeeded(self, function: Function) -> None:
        """A job of a function with a breaker has succeeded."""
        breaker = function.breaker
        if breaker is not None and breaker.succeeded():
            logs.emit(log, logging.INFO, "breaker.closed", "the probe job succeeded", function=function.name)
            self._on_gate_open(function)

    def kill(self, replies: Replies, job: Job) -> None:
        """Fail a job without a slot that an operator has killed while it waited for its next attempt."""
        function = replies.function
        decision = decide(function.settings, function.rules, Outcome(End.KILLED), job.attempt)
        logs.emit(log, logging.WARNING, f"job.{decision.label}", decision.reason, **known_of(job))
        label = _counted_as(function, decision)
        self._failures.refused(function, job, label, exception_name(Killed()), decision.reason)
        self._finish(replies, job, decision, 0.0)

    def _finish(self, replies: Replies, job: Job, decision: Decision, seconds: float) -> None:
        function = replies.function
        label = _counted_as(function, decision)
        if decision.action is Action.REQUEUE:
            replies.hand_back()
            sent = True
        else:
            replies.unreported -= 1
            if decision.action is Action.COMPLETE:
                sent = replies.complete(job, decision.result)
            elif function.settings.report == "exception":
                sent = replies.exception(job, decision.reason.encode("utf-8", "surrogateescape")[:MAX_REASON])
            else:
                sent = replies.fail(job)
        function.counters.ended(label if sent else "orphaned", seconds)
        self._admission.jobs_ended(1)

    def _start_dead_letter(
        self, replies: Replies, job: Job, decision: Decision, error: BaseException | None, seconds: float
    ) -> None:
        self._greenlets.run(lambda: self._write_dead_letter(replies, job, decision, error, seconds))

    def _write_dead_letter(
        self, replies: Replies, job: Job, decision: Decision, error: BaseException | None, seconds: float
    ) -> None:
        function = replies.function
        to = function.settings.dead_letter
        try:
            if to is None:
                raise DeadLetterFailed("no dead_letter is configured for this function")
            self._dead_letters.write(to, replies, job, decision.reason, error)
        except DeadLetterFailed as failure:
            logs.emit(
                log, logging.ERROR, "dead_letter.failed",
                f"the job is handed back to the server instead of failed: {failure}", **known_of(job),
            )  # fmt: skip
            self._failures.failed(function, job, "requeued", failure)
            function.counters.ended("requeued", seconds)
            replies.hand_back()
            self._admission.jobs_ended(1)
        else:
            logs.emit(log, logging.INFO, "dead_letter.written", decision.reason, **known_of(job))
            self._finish(replies, job, decision, seconds)
        finally:
            self._admission.release(function.slots)

    def _note(self, run: Run, outcome: Outcome, decision: Decision, seconds: float) -> None:
        """Log the outcome, and count it for the breaker."""
        function = run.replies.function
        if function.breaker is not None and outcome.end is not End.DRAINED:
            if decision.label == "skipped" and outcome.end is End.RAISED:
                self.succeeded(function)
            elif function.breaker.failed(time.monotonic()):
                logs.emit(
                    log, logging.ERROR, "breaker.open", "too many consecutive failures: jobs stay on the server",
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


def _counted_as(function: Function, decision: Decision) -> str:
    """The outcome that is counted: a failure that the client sees as an exception is counted as one."""
    is_exception = decision.label == "failed" and function.settings.report == "exception"
    return "exception" if is_exception and decision.action is Action.FAIL else decision.label


def outcome_of(error: BaseException, thrown: list[BaseException]) -> Outcome:
    """The outcome of a handler that raised ``error`` after the interrupts ``thrown`` were raised in it."""
    last: Interrupt | None = None
    for each in thrown:
        if isinstance(each, Killed):
            # Whatever else happened, it must not be run again.
            return Outcome(End.KILLED, error=each)
        if isinstance(each, Interrupt):
            last = each
    if isinstance(error, GreenletExit):
        # Killed at the end of its grace period: the reason is the first interrupt.
        error = next((each for each in thrown if isinstance(each, Interrupt)), error)
    if isinstance(error, JobTimeout):
        return Outcome(End.TIMED_OUT, error=thrown[0] if thrown else error)
    if isinstance(error, Draining) and any(isinstance(each, Draining) for each in thrown):
        return Outcome(End.DRAINED, error=error)
    if isinstance(error, Killed):
        return Outcome(End.KILLED, error=error)
    if last is not None:
        # It raised another exception while unwinding, in a finally block, say: the reason is the interrupt.
        end = {JobTimeout: End.TIMED_OUT, Draining: End.DRAINED}.get(type(last), End.KILLED)
        return Outcome(end, error=last)
    return Outcome(End.RAISED, error=error)
