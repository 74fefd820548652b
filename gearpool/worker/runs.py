"""One run of a job whose handler has yielded at least once, or has run too long. Floor 3.

Interrupts are raised through a run and not in the greenlet directly: greenlets are reused, and the run knows whether it
has ended. A job whose handler never yields gets no `Run`.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

from gearpool.jobs import Job
from gearpool.states import advance
from gearpool.worker.replies import Replies
from gearpool.worker.states import RUN, RunEvent, RunState


class Run:
    """One run of one job in a greenlet.

    Attributes:
        replies: where the outcome is reported.
        state: see `states.RUN`; nothing is raised in a run that has ended.
        thrown: the exceptions raised in it so far, in order.
        due: its deadline (``time.monotonic()``); None without a time limit.
        watched_at: ``time.monotonic()`` at which its time limit was armed.
        extended_s: by how much its limit was extended because its process was stopped or blocked.
        origin: how `ownership` marks the greenlets it starts; None if it has started none.
        row: its row in the page's table of jobs in flight.
    """

    __slots__ = (
        "due", "extended_s", "greenlet", "job", "origin", "replies", "row", "state", "thrown", "watched_at",
    )  # fmt: skip

    def __init__(self, replies: Replies, job: Job, greenlet: Any) -> None:
        self.replies = replies
        self.job = job
        self.greenlet = greenlet
        self.state = RunState.RUNNING
        self.due: float | None = None
        self.watched_at = self.extended_s = 0.0
        self.thrown: list[BaseException] = []
        self.origin: Any = None
        self.row = 0

    @property
    def ended(self) -> bool:
        """The handler has returned or raised."""
        return self.state is RunState.ENDED

    @property
    def abandoned(self) -> bool:
        """It was reported without waiting for the handler, which still runs."""
        return self.state is RunState.ABANDONED

    def interrupted(self, interrupt: BaseException) -> BaseException:
        """Note that ``interrupt`` is about to be raised in the handler, and return it."""
        self.state = advance(RUN, self.state, RunEvent.INTERRUPT)
        self.thrown.append(interrupt)
        return interrupt

    def throw(self, interrupt: BaseException) -> None:
        """Raise ``interrupt`` in the handler, which has yielded. Call it in the hub; returns at its next yield."""
        if not self.ended:
            self.greenlet.throw(self.interrupted(interrupt))

    def abandon(self) -> None:
        """Its job is reported without waiting for the handler."""
        self.state = advance(RUN, self.state, RunEvent.ABANDON)

    def end(self) -> bool:
        """The handler has ended. False if its job was reported before."""
        abandoned = self.state is RunState.ABANDONED
        self.state = advance(RUN, self.state, RunEvent.END)
        return not abandoned


_SUSPENDABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def drop_locals(*errors: BaseException) -> None:
    """Empty the frames that a handler has left through an exception; lines and names in its traceback stay.

    A handler, or a library it uses, may keep the exception (as the last error, say, or because it raises the same object
    each time). Its frames would keep the payload, the job and all the handler's objects alive.
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
                with contextlib.suppress(RuntimeError):  # it runs, or is suspended in another greenlet
                    frame.clear()
            trace = trace.tb_next
