"""`run_job`: one handler, one payload, no server; for tests of handlers. Floor 5.

It applies the worker's own decoding, time limits and retry policy (`worker.run_once`, `policy`); only the waiting between
two attempts is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gearpool import handlers
from gearpool.jobs import End, Job
from gearpool.policy import Action, decide
from gearpool.settings import ErrorAction, PayloadKind, Report, RetrySettings
from gearpool.worker.loading import OnError, make_function
from gearpool.worker.run_once import run_once


@dataclass
class JobResult:
    """What became of a job, and what its client and its worker's log would have seen.

    Attributes:
        outcome: ``complete``, ``skipped``, ``failed``, ``exception``, ``timeout`` or ``dead_letter``, as in the metrics.
        result: what the client gets as the result, as bytes; empty unless ``complete`` or ``skipped``.
        value: the same, as ``payload`` has it: bytes, text, or what the JSON says. None unless ``succeeded``.
        data: the parts that were streamed, in order (WORK_DATA).
        warnings: likewise (WORK_WARNING).
        statuses: likewise, as (numerator, denominator). All of them; a worker leaves out those that come too fast.
        reason: why it did not complete: ``ValueError: bad``.
        error: what the last run raised, None if it returned.
        attempts: how many times it was run.
        delays: seconds that a worker would have waited before the second run, the third …, leaving out the jitter.
    """

    outcome: str = ""
    result: bytes = b""
    value: Any = None
    data: list[bytes] = field(default_factory=list)
    warnings: list[bytes] = field(default_factory=list)
    statuses: list[tuple[int, int]] = field(default_factory=list)
    reason: str = ""
    error: BaseException | None = None
    attempts: int = 0
    delays: list[float] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """The client sees success: ``complete`` or ``skipped``."""
        return self.outcome in ("complete", "skipped")


class _Recorder:
    """Where the job's reports go."""

    server = "here"

    def __init__(self, to: JobResult) -> None:
        self._to = to

    def send_data(self, _job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        self._to.data.append(data)

    def send_warning(self, _job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        self._to.warnings.append(data)

    def send_status(self, _job: Job, numerator: int, denominator: int) -> None:
        """See `jobs.Reporter`."""
        self._to.statuses.append((numerator, denominator))


def run_job(
    handler: Callable[..., Any] | str,
    argument: Any = b"",
    /,
    *,
    function: str | None = None,
    unique: str = "",
    timeout: float | None = None,
    timeout_grace: float = 5.0,
    on_error: OnError = "abort",
    on_timeout: ErrorAction = "abort",
    retry: RetrySettings | None = None,
    report: Report = "fail",
    payload: PayloadKind = "bytes",
) -> JobResult:
    """Run a handler as a worker runs it, to the job's end; no server, no thread, no waiting between attempts.

    It needs neither monkey patching nor a greenlet. In the main thread a handler that never waits is interrupted at its
    ``timeout`` too.

    Args:
        handler: the handler, or its dotted path as in the configuration.
        argument: the payload: bytes or str; with ``payload="json"`` anything that is not bytes is encoded as JSON.
        function: ``job.function``; default: the handler's name.
        unique: ``job.unique``.
        timeout: and the others: see `gearpool.Worker.add_ability`.
        timeout_grace: likewise.
        on_error: likewise.
        on_timeout: likewise.
        retry: likewise; every attempt is run.
        report: likewise; ``"exception"`` makes a ``failed`` an ``exception``.
        payload: likewise.

    Raises:
        HandlerError: this cannot be a handler, or does not import.
        TypeError: the argument cannot be a payload.
    """
    call = handlers.resolve(handler) if isinstance(handler, str) else handler
    # Names may hold no blanks, and a lambda or a partial may have any.
    name = function or str(getattr(call, "__name__", "handler")).replace(" ", "_")
    served = make_function(
        name,
        call,
        timeout=timeout,
        timeout_grace=timeout_grace,
        on_error=on_error,
        on_timeout=on_timeout,
        retry=retry,
        report=report,
        payload=payload,
    )
    raw = _encode(argument, payload)
    done = JobResult()
    recorder = _Recorder(done)
    while True:
        done.attempts += 1
        outcome = run_once(served, recorder, raw, unique=unique, attempt=done.attempts)
        decision = decide(served.settings, served.rules, outcome, done.attempts, rng=lambda: 0.5)
        if decision.action is not Action.RETRY:
            break
        done.delays.append(decision.delay_s)
    done.outcome = "exception" if decision.label == "failed" and report == "exception" else decision.label
    done.result, done.reason, done.error = decision.result, decision.reason, outcome.error
    if done.succeeded:
        done.value = _decode(done.result, payload, encoded=outcome.end is End.RETURNED)
    return done


def _encode(argument: Any, payload: PayloadKind) -> bytes:
    if isinstance(argument, bytes | bytearray | memoryview):
        return bytes(argument)
    if payload == "json":
        return json.dumps(argument).encode()
    if isinstance(argument, str):
        return argument.encode()
    raise TypeError(f"a payload is bytes or str (or anything with payload='json'), got {type(argument).__name__}")


def _decode(result: bytes, payload: PayloadKind, *, encoded: bool) -> Any:
    if payload == "json":
        # What Skip gives is sent as it is, JSON or not.
        return json.loads(result) if encoded else result
    return result.decode() if payload == "text" else result
