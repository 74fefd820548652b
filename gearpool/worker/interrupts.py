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
from gearpool.jobs import KILLED, Job, Killed
from gearpool.page import NO_FUNCTION, NOT_A_JOB, STEP, Activity, Page, pack, tagged
from gearpool.worker.importing import is_importing
from gearpool.worker.ownership import Origin, Ownership, returns_to
from gearpool.worker.pool import Pool
from gearpool.worker.runs import Run

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
        self.ownership = Ownership(pool, page)

    def install(self) -> None:
        """Take over SIGUSR2, and watch the switches of greenlets. In the main thread."""
        signal.signal(signal.SIGUSR2, self.on_signal)
        greenlet.settrace(_tracer(self._page, self._pool.runs, self.ownership.inherited))
        self.ownership.install()

    def uninstall(self) -> None:
        """Watch nothing any more; the signal is left to whoever calls."""
        greenlet.settrace(None)
        self.ownership.uninstall()

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        """Something has been on the CPU for long: log it, and end it if its time is up.

        Raises:
            JobTimeout: into the handler that is on the CPU, at its limit.
            Killed: into it, if an operator has killed its job.
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
        origin = self.ownership.origin() if job is None else None
        if now - beat.since >= STALL_S and beat.turn != self._stalled_turn:
            self._stalled_turn = beat.turn
            if job is not None:
                self._pool.blocked_by.append(job)
            self._stall(job or origin, frame, now)
        if beat.turn == self._page.to_kill:
            return self._kill(origin, frame, now)
        if origin is not None:
            return self._interrupt_what_was_started(origin, frame, now)
        if job is None or job.deadline is None or now < job.deadline or is_ours(frame) or is_entering(frame):
            return None
        run = self._pool.current()
        if run is None or run.ended:
            return None
        return self._interrupt(run, now)

    def _interrupt(self, run: Run, now: float) -> BaseException | None:
        """What to raise into the handler of ``run``, whose limit has passed; None as long as it has its grace."""
        if not run.thrown:
            self.interrupted += 1
            run.thrown.append(self._pool.limits.timeout_of(run))
            self._pool.limits.begin_grace(run)
        elif _grace_is_over(run, now):
            run.thrown.append(GreenletExit())
        else:
            return None
        return run.thrown[-1]

    def _interrupt_what_was_started(self, origin: Origin, frame: FrameType, now: float) -> BaseException | None:
        """What to raise into a greenlet that a job has started: it has the job's limits. The job gets a JobTimeout, too."""
        run: Run | None = origin.run
        if run is None or run.ended or run.job.deadline is None or now < run.job.deadline:
            return None
        if is_ours(frame) or is_entering(frame):
            return None
        me = greenlet.getcurrent()
        if returns_to(me, run.greenlet):
            return self._interrupt(run, now)
        interrupt: BaseException | None = None
        if getattr(me, "gearpool_interrupted", None) is not origin:
            # Not only whether it was: a thread of a pool works for one job after another.
            me.gearpool_interrupted = origin
            self.interrupted += 1
            # Before the job hears that what it has started is no more, and takes that for its end.
            get_hub().loop.run_callback(self._pool.limits.time_out, run)
            interrupt = self._pool.limits.timeout_of(run)
        elif _grace_is_over(run, now):
            interrupt = GreenletExit()
        return interrupt

    def _kill(self, origin: Origin | None, frame: FrameType, now: float) -> BaseException | None:
        """What to raise into the handler on the CPU, or what it has started: an operator has killed its job."""
        run = self._pool.current() if origin is None else origin.run
        if run is None or run.ended or is_ours(frame) or is_entering(frame):
            return None
        limits, me = self._pool.limits, greenlet.getcurrent()
        if origin is not None and not returns_to(me, run.greenlet):
            if getattr(me, "gearpool_killed", None) is origin:
                return None  # the supervisor kills the process if that does not help
            me.gearpool_killed = origin
            get_hub().loop.run_callback(limits.interrupt, run, Killed(KILLED))
            return Killed(KILLED)
        if not any(isinstance(each, Killed) for each in run.thrown):
            run.thrown.append(Killed(KILLED))
            limits.begin_grace(run)
        elif limits.grace_is_over(run, now):
            run.thrown.append(GreenletExit())
        else:
            return None
        return run.thrown[-1]

    def _stall(self, job: Job | Origin | None, frame: FrameType, now: float) -> None:
        function = job.function if job is not None else ""
        self.stalls[function] = self.stalls.get(function, 0) + 1
        if not self._log_stalls or now - self._logged_at.get(function, 0.0) < LOG_EVERY_S:
            return
        self._logged_at[function] = now
        line = traceback.extract_stack(frame, limit=None)[-1]
        logs.emit(
            log, logging.WARNING, "stall", f"a handler has blocked the event loop for more than {STALL_S:g} s",
            function=function or None, handle=job.handle if job else None, unique=job.unique if job else None,
            at=f"{line.filename}:{line.lineno} in {line.name}", line=line.line,
        )  # fmt: skip


def _grace_is_over(run: Run, now: float) -> bool:
    deadline = run.job.deadline
    return deadline is not None and now >= deadline + run.session.function.settings.timeout_grace_s


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


def _tracer(page: Page, runs: Any, inherited: Callable[[Any], Origin | None]) -> Callable[[str, tuple[Any, Any]], None]:
    hub = get_hub()
    monotonic = time.monotonic
    memory = page.memory
    in_hub, elsewhere = tagged(NO_FUNCTION, Activity.HUB), tagged(NO_FUNCTION, Activity.OTHER)

    def trace(_event: str, switch: tuple[Any, Any]) -> None:
        # Written out: this runs twice for each time a handler waits.
        target = switch[1]
        turn = page.turn = page.turn + STEP
        if target is hub:
            pack(memory, (turn & STEP) + NOT_A_JOB, turn, monotonic(), in_hub, b"", b"", turn)
            return
        run = runs.get(target)
        if run is not None:
            job = run.job
            pack(memory, turn & STEP, turn, monotonic(), run.session.tag, job.raw_handle, job.raw_unique, turn)
            return
        origin = getattr(target, "gearpool_origin", None)
        if origin is None and target.parent is not hub:
            origin = inherited(target)
        if origin is None:
            pack(memory, (turn & STEP) + NOT_A_JOB, turn, monotonic(), elsewhere, b"", b"", turn)
        else:
            pack(memory, turn & STEP, turn, monotonic(), origin.tag, origin.handle, origin.unique, turn)

    return trace
