"""The runs in progress of this process: jobs whose handler has waited at least once, by greenlet. Floor 3.

Law: an interrupt is thrown at a run, not at a greenlet: greenlets are used again, so whoever throws checks that the
greenlet still runs that job. A job that never waits never gets a Run unless it overstays.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from gearpool.jobs import Interrupt, Job

if TYPE_CHECKING:
    from gearpool.worker.session import Session


class Run:
    """One run of one job in a greenlet.

    Attributes:
        ended: the handler has returned or raised; nothing may be thrown at it any more.
        abandoned: it was reported without waiting for its end; what it does now concerns nobody.
        thrown: the interrupts thrown at it so far, in order.
        holds_slot: False once its slot has been given back.
        watched_at: ``time.monotonic()`` since when its time limit is watched.
        excused_s: how much time it was given back, since its process was stopped or blocked.
        origin: what `ownership` marks with it what it starts; None as long as it has started nothing.
        row: where the table of jobs in flight shows it.
    """

    __slots__ = (
        "abandoned",
        "due",
        "ended",
        "excused_s",
        "greenlet",
        "holds_slot",
        "job",
        "origin",
        "row",
        "session",
        "thrown",
        "watched_at",
    )

    def __init__(self, session: Session, job: Job, greenlet: Any) -> None:
        self.session = session
        self.job = job
        self.greenlet = greenlet
        self.due: float | None = None
        self.watched_at = self.excused_s = 0.0
        self.ended = False
        self.abandoned = False
        self.holds_slot = True
        self.thrown: list[BaseException] = []
        self.origin: Any = None
        self.row = 0

    def throw(self, interrupt: BaseException) -> None:
        """Raise ``interrupt`` in the handler, which is waiting; called in the hub. Returns when it waits again."""
        if self.ended:
            return
        self.thrown.append(interrupt)
        self.greenlet.throw(interrupt)

    @property
    def interrupted(self) -> BaseException | None:
        """The last interrupt thrown at it."""
        return self.thrown[-1] if self.thrown else None


Runs = dict[Any, Run]
"""By greenlet."""

_SUSPENDABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def drop_locals(*errors: BaseException) -> None:
    """Empty the frames that a handler has left through an exception; lines and names in its traceback stay.

    A handler, or a library that it uses, may keep the exception: for its last error, or since it raises the same object
    each time. The frames would keep the payload, the job and whatever else the handler had in its hands.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = list(errors)
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [error.__cause__, error.__context__]
        trace = error.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            # Before Python 3.13 clearing would close a generator that is only suspended.
            if not frame.f_code.co_flags & _SUSPENDABLE:
                with contextlib.suppress(RuntimeError):  # it runs, or waits in another greenlet
                    frame.clear()
            trace = trace.tb_next


__all__ = ["Interrupt", "Run", "Runs", "drop_locals"]
