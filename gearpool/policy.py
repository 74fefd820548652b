"""Decides what happens to a job after a failure: a pure function from the outcome of one run to a decision. Floor 1.

The three restarts of cl-gearman as policy: skip (success with a given value), abort (fail the job), retry
(run it again under the same handle). Nothing here sends, waits or logs.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gearpool.jobs import KILLED, Abort, End, Outcome, Retry, Skip
from gearpool.settings import ErrorAction, FunctionSettings
from gearpool.timing import exponential, jittered


class Action(enum.Enum):
    """What to do with a job whose handler has ended."""

    COMPLETE = "complete"
    FAIL = "fail"
    RETRY = "retry"
    DEAD_LETTER = "dead_letter"
    REQUEUE = "requeue"


class Decision(NamedTuple):
    """A decision.

    Attributes:
        action: what to do.
        label: the job's ``outcome`` in metrics and logs.
        result: what a COMPLETE sends.
        reason: why, for logs, letters and WORK_EXCEPTION.
        delay_s: how long a RETRY waits.
    """

    action: Action
    label: str
    result: bytes = b""
    reason: str = ""
    delay_s: float = 0.0


class Rules:
    """`on_error` with its names resolved: exception class → action; the nearest class in the MRO wins."""

    def __init__(self, by_class: Mapping[type[BaseException], ErrorAction], default: ErrorAction) -> None:
        self._by_class = dict(by_class)
        self.default = default

    def action(self, error: BaseException) -> ErrorAction:
        """What to do about ``error``."""
        for cls in type(error).__mro__:
            action = self._by_class.get(cls)
            if action is not None:
                return action
        return self.default


def decide(
    settings: FunctionSettings, rules: Rules, outcome: Outcome, attempt: int, rng: Callable[[], float] = random.random
) -> Decision:
    """What to do with a job after run number ``attempt`` (from 1) ended as ``outcome``.

    ``Skip``, ``Abort`` and ``Retry`` raised by the handler beat `on_error`; `retry.attempts` bounds all retries.
    Never raises: the error is an object of the handler's own, and whatever that holds the job must be reported.
    """
    try:
        return _decide(settings, rules, outcome, attempt, rng)
    except Exception as broken:  # noqa: BLE001 - see above
        return Decision(Action.FAIL, "failed", reason=f"{explain(outcome.error)} cannot be judged: {explain(broken)}")


def _decide(
    settings: FunctionSettings, rules: Rules, outcome: Outcome, attempt: int, rng: Callable[[], float]
) -> Decision:
    end, error = outcome.end, outcome.error
    if end is End.RETURNED:
        return Decision(Action.COMPLETE, "complete", outcome.result)
    reason = explain(error)
    if end is End.KILLED:
        return Decision(Action.FAIL, "failed", reason=reason or KILLED)
    if end is End.DRAINED:
        if settings.on_drain == "fail":
            return Decision(Action.FAIL, "failed", reason=reason or "the worker is draining")
        return Decision(Action.REQUEUE, "requeued", reason=reason)
    if end is End.RAISED:
        if isinstance(error, Skip):
            result = error.result
            return Decision(Action.COMPLETE, "skipped", result.encode() if isinstance(result, str) else bytes(result))
        if isinstance(error, Abort):
            return Decision(Action.FAIL, "failed", reason=_encodable(error.reason) or "aborted")
        if isinstance(error, Retry):
            # Checked again: an attribute can be set to anything.
            delay_s = None if error.delay is None else Retry(float(error.delay)).delay
            return _retry(settings, attempt, reason, "failed", delay_s, rng)
        action: ErrorAction = "abort" if error is None else rules.action(error)
        label = "failed"
    else:
        action, label = settings.on_timeout, "timeout"
        reason = reason or "timed out"
    if action == "skip":
        return Decision(Action.COMPLETE, "skipped", reason=reason)
    if action == "retry":
        return _retry(settings, attempt, reason, label, None, rng)
    return Decision(Action.FAIL, label, reason=reason)


def _retry(
    settings: FunctionSettings, attempt: int, reason: str, label: str, delay_s: float | None, rng: Callable[[], float]
) -> Decision:
    retry = settings.retry
    if attempt < retry.attempts:
        if delay_s is None:
            delay_s = jittered(exponential(attempt, retry.delay_s, retry.backoff, retry.max_delay_s), retry.jitter, rng)
        return Decision(Action.RETRY, "retried", reason=reason, delay_s=delay_s)
    reason = f"gave up after {attempt} attempts: {reason}"
    if retry.then == "skip":
        return Decision(Action.COMPLETE, "skipped", reason=reason)
    if retry.then == "dead_letter":
        return Decision(Action.DEAD_LETTER, "dead_letter", reason=reason)
    return Decision(Action.FAIL, label, reason=reason)


CONDEMNED = 2**31
"""This number of deaths marks a job that an operator has killed together with its process: it is failed."""


def poisoned(settings: FunctionSettings, kills: int) -> Decision:
    """What to do, instead of running it, with a job that is blamed for ``kills`` deaths of a process."""
    if kills >= CONDEMNED:
        return Decision(Action.FAIL, "failed", reason=KILLED)
    reason = f"poisoned: its process died {kills} times because of it"
    action = Action.FAIL if settings.dead_letter is None else Action.DEAD_LETTER
    return Decision(action, "poisoned", reason=reason)


def explain(error: BaseException | None) -> str:
    """An exception as one line: ``ValueError: bad``."""
    if error is None:
        return ""
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001 - a handler's own exception class may fail to print itself, in any way
        message = "<unprintable>"
    name = type(error).__name__
    return _encodable(f"{name}: {message}" if message else name)


def _encodable(reason: str) -> str:
    """Without surrogates that stand for no byte: nothing could send them."""
    try:
        reason.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return reason.encode("utf-8", "backslashreplace").decode()
    return reason
