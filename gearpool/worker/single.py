"""Runs one handler once, without any server: for `gearpool run` and for tests of handlers. Floor 3.

Law: the handler is called as a session calls it, under the same limit and the same grace, and its end means the same;
only where its reports go differs.
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
from gearpool.worker.interrupts import is_entering, is_ours
from gearpool.worker.verdicts import outcome_of

_INSIST_S = 0.05
"""How often a handler that is past its limit is looked at again."""


def run_once(function: Function, reporter: Reporter, payload: bytes, *, unique: str = "", attempt: int = 1) -> Outcome:
    """Run the handler of ``function`` with ``payload`` to its end, under its time limit.

    A handler that never waits is interrupted in place too, if this is called in the main thread. One that swallows even
    its killing is reported as timed out without it, as a worker does.
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
        """What is to be raised in the handler now."""
        if not thrown:
            thrown.append(timed_out())
        elif time.monotonic() >= grace_ends:
            thrown.append(GreenletExit())
        else:
            return None
        return thrown[-1]

    def look() -> None:
        # In the hub: so the handler waits.
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
        # Only into the handler; if it waits, the timer sees to it.
        if getcurrent() is not greenlet or frame is None or ended.ready() or is_ours(frame) or is_entering(frame):
            return
        error = due()
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback refers to this frame: see `Interrupts.on_signal`.
                del error, frame

    timer = get_hub().loop.timer(timeout_s, _INSIST_S)
    timer.start(look)
    try:
        with _alarm(timeout_s, on_alarm):
            return ended.get()  # type: ignore[no-any-return]
    finally:
        timer.stop()
        timer.close()


@contextlib.contextmanager
def _alarm(seconds: float, on_alarm: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """``on_alarm`` after so many seconds, and again and again. Whoever used the timer before has it back afterwards."""
    try:
        before: Any = signal.signal(signal.SIGALRM, on_alarm)
    except ValueError:
        yield  # not the main thread: no signals
        return
    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _INSIST_S)
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
