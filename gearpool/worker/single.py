"""Runs one handler once, without any server: for `gearpool run` and for tests of handlers. Floor 3.

Law: the handler is called as a session calls it, under the same time limit; only where its reports go differs.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

import gevent
from gevent import getcurrent

from gearpool.jobs import End, Interrupt, Job, JobTimeout, Outcome, Reporter
from gearpool.worker.functions import Function
from gearpool.worker.interrupts import is_ours


def run_once(function: Function, reporter: Reporter, payload: bytes, *, unique: str = "", attempt: int = 1) -> Outcome:
    """Run the handler of ``function`` with ``payload`` to its end, under its time limit.

    A handler that never waits is interrupted in place too, if this is called in the main thread.
    """
    timeout_s = function.settings.timeout_s
    job = Job(reporter, function.name, b"H:here:1", unique.encode(), payload, timeout_s, attempt)
    greenlet = gevent.Greenlet(_call, function, job)
    greenlet.start()
    if timeout_s is None:
        return greenlet.get()  # type: ignore[no-any-return]
    error = JobTimeout(f"over its time limit of {timeout_s:g} s")
    timer = gevent.get_hub().loop.timer(timeout_s)
    timer.start(greenlet.throw, error)

    def on_alarm(_number: int, frame: FrameType | None) -> None:
        # Only into the handler; if it waits, the timer above sees to it.
        if getcurrent() is greenlet and frame is not None and not is_ours(frame):
            raise error

    before: Any = None
    try:
        try:
            before = signal.signal(signal.SIGALRM, on_alarm)
            signal.setitimer(signal.ITIMER_REAL, timeout_s, 0.05)
        except ValueError:
            pass  # not the main thread
        return greenlet.get()  # type: ignore[no-any-return]
    finally:
        timer.stop()
        timer.close()
        if before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


def _call(function: Function, job: Job) -> Outcome:
    job.started = time.monotonic()
    try:
        result = function.call(job.argument, job) if function.takes_job else function.call(job.argument)
        if result.__class__ is not bytes:
            result = function.encode(result)
    except JobTimeout as error:
        return Outcome(End.TIMED_OUT, error=error)
    except Interrupt as error:
        return Outcome(End.KILLED, error=error)
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its failure
        return Outcome(End.RAISED, error=error)
    return Outcome(End.RETURNED, result)
