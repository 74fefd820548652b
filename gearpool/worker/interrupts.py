"""Interrupts handlers that never yield, by a signal; and shows on the shared page what is on the CPU. Floor 3.

The supervisor (in the `Worker` library: `watchdog`) sends SIGUSR2 when the page shows that one job has been on the CPU
for too long. The signal handler runs between two bytecodes of whatever is on the CPU.

Invariant: it raises an exception only if that is a handler whose time is up, the innermost frame is neither gevent's nor
gearpool's (so that their locks and queues stay consistent), no module is being imported (see `importing`), and no
``with`` block is being entered (so that the handler's own locks are released). Otherwise it does nothing, and the signal
is sent again shortly.

None of this slows down a quick job: the page is written at greenlet switches, and by `batch` for each job.
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
from gearpool.page import NO_FUNCTION, NOT_A_JOB, STEP, Activity, Page, Reading, pack, tagged
from gearpool.worker.greenlet_pool import GreenletPool
from gearpool.worker.importing import is_importing
from gearpool.worker.ownership import Origin, Ownership, returns_to
from gearpool.worker.running import Running
from gearpool.worker.runs import Run

log = logging.getLogger("gearpool.worker")

STALL_S = 0.25
LOG_EVERY_S = 1.0
"""At most one stall per second and function is logged; all are counted."""

_PROTECTED = (
    "gevent", "greenlet", "gearpool", "threading", "logging", "queue", "importlib", "_frozen_importlib", "concurrent",
)  # fmt: skip
"""Packages in whose frames nothing is raised: they hold locks or queues that all jobs share."""
_HANDLERS = ("gearpool.examples",)

_CALL, _LOAD_SPECIAL = dis.opmap["CALL"], dis.opmap.get("LOAD_SPECIAL", -1)
_WORD = 2
"""The size of an instruction, in bytes."""


class Interrupts:
    """Answers SIGUSR2 in a worker process.

    Args:
        page: where the supervisor sees what is on the CPU.
        log_stalls: log each stall.
        on_stall: called once for each stall with the reading that shows it, the job that blocks, if any is known, and the
            innermost frame.
    """

    def __init__(
        self,
        running: Running,
        greenlets: GreenletPool,
        page: Page,
        *,
        log_stalls: bool = True,
        on_stall: Callable[[Reading, Job | Origin | None, FrameType], object] | None = None,
    ) -> None:
        self._running = running
        self._page = page
        self._log_stalls = log_stalls
        self._stalled_sequence = 0
        self._on_stall = on_stall
        self._logged_at: dict[str, float] = {}
        self._answering = False
        self.ownership = Ownership(running, greenlets, page)

    def install(self) -> None:
        """Handle SIGUSR2 and trace greenlet switches from now on. Call it in the main thread."""
        signal.signal(signal.SIGUSR2, self.on_signal)
        greenlet.settrace(tracer(self._page, self._running.runs, self.ownership.inherited))
        self.ownership.install()

    def uninstall(self) -> None:
        """Stop tracing. The caller restores the signal handler."""
        greenlet.settrace(None)
        self.ownership.uninstall()

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        """Log what has been on the CPU for too long, and interrupt it if its time is up.

        Raises:
            JobTimeout: in the handler that is on the CPU, at its limit.
            Killed: in the handler, if an operator has killed its job.
            GreenletExit: in the handler, at the end of its grace period.
        """
        if self._answering or frame is None:
            # A second signal during this handler. An exception would propagate into whatever the first one interrupted,
            # which may be gevent while it takes a lock.
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
                # The traceback refers to this frame. A reference back would keep the job and its payload alive until the
                # garbage collector runs.
                del interrupt, frame

    def _answer(self, frame: FrameType) -> BaseException | None:
        """Log a stall, and return the exception to raise in the handler on the CPU, if any."""
        now = time.monotonic()
        reading = self._page.read()
        if reading.activity is Activity.HUB:
            return None
        job = self._running.on_cpu()
        origin = self.ownership.origin() if job is None else None
        if now - reading.since >= STALL_S and reading.sequence != self._stalled_sequence:
            self._stalled_sequence = reading.sequence
            if job is not None:
                self._running.blocked_by.append(job)
            if self._on_stall is not None:
                self._on_stall(reading, job or origin, frame)
            self._log_stall(job or origin, frame, now)
        if reading.sequence == self._page.to_kill:
            return self._kill(origin, frame, now)
        if origin is not None:
            return self._interrupt_started(origin, frame, now)
        if job is None or job.deadline is None or now < job.deadline or is_protected(frame):
            return None
        run = self._running.current()
        if run is None or run.ended:
            return None
        return self._interrupt(run, now)

    def _interrupt(self, run: Run, now: float) -> BaseException | None:
        """The exception to raise in the handler of ``run``, whose limit has passed; None during its grace period."""
        if not run.thrown:
            run.interrupted(self._running.limits.timeout_of(run))
            self._running.limits.begin_grace(run)
        elif _grace_is_over(run, now):
            run.interrupted(GreenletExit())
        else:
            return None
        return run.thrown[-1]

    def _interrupt_started(self, origin: Origin, frame: FrameType, now: float) -> BaseException | None:
        """The exception to raise in a greenlet started by a job: it has the job's limit. The job is timed out, too."""
        run: Run | None = origin.run
        if run is None or run.ended or run.job.deadline is None or now < run.job.deadline or is_protected(frame):
            return None
        me = greenlet.getcurrent()
        if returns_to(me, run.greenlet):
            return self._interrupt(run, now)
        if getattr(me, "gearpool_interrupted", None) is origin:
            return GreenletExit() if _grace_is_over(run, now) else None
        # The origin and not a flag: a thread of a pool works for one job after another.
        me.gearpool_interrupted = origin
        limits = self._running.limits
        # Scheduled first: otherwise the job would see this greenlet fail before its own timeout.
        get_hub().loop.run_callback(limits.time_out, run)
        # Another instance, whose traceback does not keep the greenlet's frames alive.
        origin.interrupt = limits.timeout_of(run)
        return limits.timeout_of(run)

    def _kill(self, origin: Origin | None, frame: FrameType, now: float) -> BaseException | None:
        """The exception to raise on the CPU because an operator has killed this job."""
        run = self._running.current() if origin is None else origin.run
        if run is None or run.ended or is_protected(frame):
            return None
        limits, me = self._running.limits, greenlet.getcurrent()
        if origin is not None and not returns_to(me, run.greenlet):
            if getattr(me, "gearpool_killed", None) is origin:
                return None  # if that does not help, the supervisor kills the process
            me.gearpool_killed = origin
            origin.interrupt = Killed(KILLED)
            get_hub().loop.run_callback(limits.interrupt, run, Killed(KILLED))
            return Killed(KILLED)
        if not any(isinstance(each, Killed) for each in run.thrown):
            run.interrupted(Killed(KILLED))
            limits.begin_grace(run)
        elif limits.grace_is_over(run, now):
            run.interrupted(GreenletExit())
        else:
            return None
        return run.thrown[-1]

    def _log_stall(self, job: Job | Origin | None, frame: FrameType, now: float) -> None:
        function = job.function if job is not None else ""
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
    return deadline is not None and now >= deadline + run.replies.function.settings.timeout_grace_s


def is_protected(frame: FrameType) -> bool:
    """Whether nothing may be raised in ``frame``: see the module's invariant."""
    name = str(frame.f_globals.get("__name__", ""))
    is_shared = name.partition(".")[0] in _PROTECTED and not name.startswith(_HANDLERS)
    return is_shared or is_importing(frame) or _is_entering_with(frame)


def _is_entering_with(frame: FrameType) -> bool:
    """Whether ``frame`` is entering a ``with`` block whose ``__enter__`` may already have taken its lock.

    From Python 3.14 on, ``__enter__`` is called by an ordinary CALL, after which signals are handled, but the block begins
    only behind it: an exception raised there would leave the lock taken for ever. (Up to 3.13 it is a single instruction,
    after which no signal is handled.)
    """
    code, at = frame.f_code.co_code, frame.f_lasti
    return at >= _WORD and code[at] == _CALL and code[at - _WORD] == _LOAD_SPECIAL


def tracer(page: Page, runs: Any, inherited: Callable[[Any], Origin | None]) -> Callable[[str, tuple[Any, Any]], None]:
    """For `greenlet.settrace`: shows on the page what each switch puts on the CPU.

    Args:
        page: where it is shown.
        runs: the runs by their greenlets.
        inherited: returns the job to which a greenlet belongs that another greenlet has started.
    """
    hub = get_hub()
    monotonic = time.monotonic
    memory = page.memory
    in_hub, elsewhere = tagged(NO_FUNCTION, Activity.HUB), tagged(NO_FUNCTION, Activity.OTHER)

    def trace(_event: str, switch: tuple[Any, Any]) -> None:
        # Inlined: this runs twice each time a handler yields.
        target = switch[1]
        sequence = page.sequence = page.sequence + STEP
        if target is hub:
            pack(memory, (sequence & STEP) + NOT_A_JOB, sequence, monotonic(), in_hub, b"", b"", sequence)
            return
        run = runs.get(target)
        if run is not None:
            tag, handle, unique = run.replies.tag, run.job.raw_handle, run.job.raw_unique
            pack(memory, sequence & STEP, sequence, monotonic(), tag, handle, unique, sequence)
            return
        origin = getattr(target, "gearpool_origin", None)
        if origin is None and target.parent is not hub:
            origin = inherited(target)
        if origin is None:
            pack(memory, (sequence & STEP) + NOT_A_JOB, sequence, monotonic(), elsewhere, b"", b"", sequence)
        else:
            pack(memory, sequence & STEP, sequence, monotonic(), origin.tag, origin.handle, origin.unique, sequence)

    return trace
