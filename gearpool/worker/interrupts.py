"""Ends handlers that never wait, in place; and shows on the shared page what is on the CPU. Floor 3.

Law: a signal handler runs between two bytecodes of whatever is on the CPU. It raises only if that is a handler whose
time is up, the innermost frame is neither gevent's nor gearpool's (their locks and queues are never left half done), it
is not in the midst of an import (see `importing`), and it is not about to enter a ``with`` (nor are the handler's own
locks left taken).
Otherwise it does nothing, and whoever sent the signal sends it again shortly.

The supervisor (in the `Worker` library: `watch`) sends SIGUSR2 when the page shows that one job has been on the CPU for
too long. Nothing here costs a job that is quick: the page is written at switches of greenlets, and by the session for
each job of a batch.
"""

from __future__ import annotations

import dis
import logging
import signal
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import greenlet
from gevent import GreenletExit
from gevent.hub import get_hub

from gearpool import logs
from gearpool.page import NO_FUNCTION, STEP, Activity, Page, pack, tagged
from gearpool.worker.importing import is_importing
from gearpool.worker.pool import Pool

log = logging.getLogger("gearpool.worker")

STALL_S = 0.25
LOG_EVERY_S = 1.0
"""At most one stall a second and function is logged; all are counted."""

_OURS = (
    "gevent",
    "greenlet",
    "gearpool",
    "threading",
    "logging",
    "queue",
    "importlib",
    "_frozen_importlib",
    "concurrent",
)
"""Packages into whose frames nothing is raised: ours, and those of the standard library that keep locks which all share."""
_THEIRS = ("gearpool.examples",)

_CALL, _LOAD_SPECIAL = dis.opmap["CALL"], dis.opmap.get("LOAD_SPECIAL", -1)
_WORD = 2
"""Bytes of an instruction."""


class Interrupts:
    """Answers SIGUSR2 in a worker process.

    Args:
        pool: whose jobs are interrupted.
        page: what the supervisor reads.
        log_stalls: log them; they are counted anyway.
    """

    def __init__(self, pool: Pool, page: Page, *, log_stalls: bool = True) -> None:
        self._pool = pool
        self._page = page
        self._log_stalls = log_stalls
        self._stalled_turn = 0
        self._logged_at: dict[str, float] = {}
        self.stalls: dict[str, int] = {}
        self.stall_s: dict[str, float] = {}
        self.interrupted = 0
        self._answering = False

    def install(self) -> None:
        """Take over SIGUSR2, and watch the switches of greenlets. In the main thread."""
        signal.signal(signal.SIGUSR2, self.on_signal)
        greenlet.settrace(_tracer(self._page, self._pool.runs))

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        """Something has been on the CPU for long: log it, and end it if its time is up.

        Raises:
            JobTimeout: into the handler that is on the CPU, at its limit.
            GreenletExit: into it, at the end of its grace.
        """
        if self._answering or frame is None:
            # Sent again while we are still at it. Raising here would raise through us into whatever was interrupted
            # first, and that may be gevent with a lock half taken.
            return
        self._answering = True
        try:
            interrupt = self._answer(frame)
        finally:
            self._answering = False
        if interrupt is not None:
            try:
                raise interrupt
            finally:
                # Its traceback refers to this frame. If the frame referred to it, or to the handler's frame, the job and
                # its payload would be kept until the collector comes.
                del interrupt, frame

    def _answer(self, frame: FrameType) -> BaseException | None:
        """Log a stall; what is to be raised into the handler on the CPU now, if anything."""
        now = time.monotonic()
        beat = self._page.read()
        if beat.activity is Activity.HUB:
            return None
        job = self._pool.on_cpu()
        if now - beat.since >= STALL_S and beat.turn != self._stalled_turn:
            self._stalled_turn = beat.turn
            if job is not None:
                self._pool.blocked_by.append(job)
            self._stall(job.function if job else "", job, frame, now)
        if job is None or job.deadline is None or now < job.deadline or is_ours(frame) or is_entering(frame):
            return None
        run = self._pool.current()
        if run is None or run.ended:
            return None
        if not run.thrown:
            self.interrupted += 1
            run.thrown.append(self._pool.limits.timeout_of(run))
            self._pool.limits.begin_grace(run)
        elif now >= job.deadline + run.session.function.settings.timeout_grace_s:
            run.thrown.append(GreenletExit())
        else:
            return None
        return run.thrown[-1]

    def _stall(self, function: str, job: Any, frame: FrameType, now: float) -> None:
        self.stalls[function] = self.stalls.get(function, 0) + 1
        if not self._log_stalls or now - self._logged_at.get(function, 0.0) < LOG_EVERY_S:
            return
        self._logged_at[function] = now
        line = traceback.extract_stack(frame, limit=None)[-1]
        logs.emit(
            log, logging.WARNING, "stall", f"no other greenlet has had a turn for {STALL_S:g} s or more",
            function=function or None, handle=job.handle if job else None, unique=job.unique if job else None,
            at=f"{line.filename}:{line.lineno} in {line.name}", line=line.line,
        )  # fmt: skip


def is_ours(frame: FrameType) -> bool:
    """Whether ``frame`` is code into which nothing is ever raised: ours, or what is run by an import."""
    name = str(frame.f_globals.get("__name__", ""))
    return (name.partition(".")[0] in _OURS and not name.startswith(_THEIRS)) or is_importing(frame)


def is_entering(frame: FrameType) -> bool:
    """Whether ``frame`` is about to enter a ``with`` whose ``__enter__`` may have taken its lock already.

    From Python 3.14 on that is an ordinary CALL, after which signals are served, and the block begins only behind it: what
    is raised there leaves the lock taken for ever. (Up to 3.13 it is one instruction, after which none are served.)
    """
    code, at = frame.f_code.co_code, frame.f_lasti
    return at >= _WORD and code[at] == _CALL and code[at - _WORD] == _LOAD_SPECIAL


def _tracer(page: Page, runs: Any) -> Callable[[str, tuple[Any, Any]], None]:
    hub = get_hub()
    monotonic = time.monotonic
    memory = page.memory
    in_hub, elsewhere = tagged(NO_FUNCTION, Activity.HUB), tagged(NO_FUNCTION, Activity.OTHER)

    def trace(_event: str, switch: tuple[Any, Any]) -> None:
        # Written out: this runs twice for each time a handler waits.
        target = switch[1]
        turn = page.turn = page.turn + STEP
        if target is hub:
            pack(memory, turn & STEP, turn, monotonic(), in_hub, b"", b"", turn)
            return
        run = runs.get(target)
        if run is None:
            pack(memory, turn & STEP, turn, monotonic(), elsewhere, b"", b"", turn)
        else:
            job, tag = run.job, tagged(run.session.function.index, Activity.JOB)
            pack(memory, turn & STEP, turn, monotonic(), tag, job.raw_handle, job.raw_unique, turn)

    return trace
