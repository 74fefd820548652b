"""Runs a handler once, without a server: for `gearpool run` and for tests of handlers. Floor 3.

Invariant: the handler is called as in a worker, with the same time limit and grace period, and its outcome is determined
in the same way. Only its reports go elsewhere.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import gevent
from gevent import GreenletExit, getcurrent
from gevent.event import AsyncResult
from gevent.hub import get_hub

from gearpool.jobs import End, Job, JobTimeout, Outcome, Reporter
from gearpool.worker.functions import Function
from gearpool.worker.importing import is_importing
from gearpool.worker.interrupts import is_protected
from gearpool.worker.verdicts import outcome_of

_CHECK_EVERY_S = 0.05
"""How often a handler that has passed its limit is checked again."""


def run_once(function: Function, reporter: Reporter, payload: bytes, *, unique: str = "", attempt: int = 1) -> Outcome:
    """Run the handler of ``function`` with ``payload``, under its time limit.

    In the main thread, a handler that never yields is interrupted, too. A handler that ignores even GreenletExit is
    reported as timed out although it still runs, as in a worker.
    """
    timeout_s = function.settings.timeout_s
    job = Job(reporter, function.name, b"H:here:1", unique.encode(), payload, timeout_s, attempt)
    ended = AsyncResult()
    thrown: list[BaseException] = []
    job.started = time.monotonic()
    greenlet = gevent.Greenlet(_call, function, job, thrown, ended)
    greenlet.start()
    if timeout_s is None:
        return ended.get()  # type: ignore[no-any-return]
    grace_ends = job.started + timeout_s + function.settings.timeout_grace_s

    def timed_out() -> JobTimeout:
        return JobTimeout(f"over its time limit of {timeout_s:g} s")

    def due() -> BaseException | None:
        """The exception to raise in the handler now, if any."""
        if not thrown:
            thrown.append(timed_out())
        elif time.monotonic() >= grace_ends:
            thrown.append(GreenletExit())
        else:
            return None
        return thrown[-1]

    def check() -> None:
        # Runs in the hub, so the handler has yielded.
        if greenlet.dead or ended.ready():
            return
        if is_importing(greenlet.gr_frame):
            if time.monotonic() >= grace_ends:
                ended.set(Outcome(End.TIMED_OUT, error=thrown[0] if thrown else timed_out()))
            return
        error = due()
        if error is not None:
            greenlet.throw(error)
            if isinstance(error, GreenletExit) and not ended.ready():
                ended.set(Outcome(End.TIMED_OUT, error=thrown[0]))

    def on_alarm(_number: int, frame: FrameType | None) -> None:
        # Interrupts only the handler itself; if it has yielded, the timer interrupts it.
        if getcurrent() is not greenlet or frame is None or ended.ready() or is_protected(frame):
            return
        error = due()
        if error is not None:
            try:
                raise error
            finally:
                # The traceback refers to this frame: see `Interrupts.on_signal`.
                del error, frame

    timer = get_hub().loop.timer(timeout_s, _CHECK_EVERY_S)
    timer.start(check)
    try:
        with _alarm(timeout_s, on_alarm):
            return ended.get()  # type: ignore[no-any-return]
    finally:
        timer.stop()
        timer.close()


@contextlib.contextmanager
def _alarm(seconds: float, on_alarm: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call ``on_alarm`` after ``seconds`` and repeatedly from then on; restore the previous alarm afterwards."""
    try:
        before: Any = signal.signal(signal.SIGALRM, on_alarm)
    except ValueError:
        yield  # signals reach only the main thread
        return
    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _CHECK_EVERY_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if before is not None:
            signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)), interval)


def _call(function: Function, job: Job, thrown: list[BaseException], ended: AsyncResult) -> None:
    try:
        result = function.call(job.argument, job) if function.takes_job else function.call(job.argument)
        if result.__class__ is not bytes:
            result = function.encode(result)
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its failure
        outcome = outcome_of(error, thrown)
    else:
        outcome = Outcome(End.RETURNED, result)
    if not ended.ready():
        ended.set(outcome)
