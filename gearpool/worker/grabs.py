"""Decides when a session grabs jobs, and how many. Floor 3.

Invariant: each grab has a reserved slot until it is answered or its connection is closed. The answer is a job or NO_JOB;
after NO_JOB, nothing is grabbed until the server sends NOOP because it has more jobs.

Source: gearmand 1.1.20 and 2.0.0 on the wire. [GRAB × n, PRE_SLEEP] loses no wake-up; the next NOOP comes only after a
GRAB; a NOOP may come before the answer to a GRAB.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

from gearpool.errors import RemoteProtocolError
from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from gearpool.timing import exponential
from gearpool.worker.admission import Admission, FunctionSlots
from gearpool.worker.functions import Function
from gearpool.worker.shares import ServerShare

GATE_S = 5.0
"""The maximum delay until a closed gate (rate, breaker) is checked again."""
SPIN_S = 0.02
"""A NOOP that comes sooner than this after a grab that brought no job counts as fruitless."""
FRUITLESS = 8
"""This many fruitless wake-ups in a row are normal with many workers; beyond that, grabs are delayed."""
MIN_REST_S = 0.002
MAX_REST_S = 1.0

_GRAB = request(PacketType.GRAB_JOB_UNIQ)
_PRE_SLEEP = request(PacketType.PRE_SLEEP)


class Grabs:
    """The grabs of one session.

    Args:
        admission: the slots and the budget of the process.
        function: the function to grab; its slots and gates apply, too.
        soon: called when it may be possible to grab again.
        share: limits the server's unanswered grabs over all its sessions.

    Attributes:
        under_way: the number of unanswered grabs, each with a reserved slot.
        sent: the number of grabs sent so far.
        woken: whether the server may have jobs.
    """

    def __init__(
        self, admission: Admission, function: Function, soon: Callable[[], None], share: ServerShare | None = None
    ) -> None:
        self.function_slots: FunctionSlots = function.slots
        self.under_way = 0
        self.sent = 0
        self.woken = True
        self._share = share or ServerShare()
        self._admission = admission
        self._function = function
        self._soon = soon
        self._received = 0
        """Jobs received since the last NO_JOB, or since every grab brought a job."""
        self._window = 1
        self._sent_at = 0.0
        self._fruitless = 0
        self._resting: Any = None
        self._marked = 0

    @property
    def answered_total(self) -> int:
        """The number of grabs answered so far."""
        return self.sent - self.under_way

    def grab(self, now: float, pending: int) -> bytes:
        """Reserve slots and return the packets that grab jobs; empty if nothing is to be grabbed now.

        Args:
            now: ``time.monotonic()``.
            pending: jobs that have been received but not started; they count towards the window.
        """
        if not self.woken or self._resting is not None:
            return b""
        function, admission = self._function, self._admission
        if admission.quiet:
            return b""
        wanted = min(self._window, function.max_grabs) - self.under_way - pending
        if wanted <= 0:
            return b""
        if function.paused or function.rate is not None or function.breaker is not None:
            allowed = function.allowed(now)
            if allowed is not None and allowed < wanted:
                if allowed <= 0:
                    if not function.paused:
                        self._rest(min(GATE_S, function.gate_wait_s(now)) + 0.001)
                    return b""
                wanted = allowed
        if admission.budget is not None:
            wanted = admission.within_budget(self, wanted)
            if wanted <= 0:
                return b""
        share = self._share
        if share.limited:
            wanted = min(wanted, share.allowed(self, admission.limit, function.slots.limit, self.under_way))
            if wanted <= 0:
                return b""
        granted = admission.reserve(self, wanted)
        if granted == 0:
            return b""
        if function.rate is not None or function.breaker is not None:
            function.count_grabs(granted)
        if admission.budget is not None:
            admission.budget -= granted
        self.woken = False
        self.under_way += granted
        self.sent += granted
        share.unanswered += granted
        self._sent_at = now
        return _GRAB * granted + _PRE_SLEEP

    def regrab_due(self, now: float, after_s: float) -> bool:
        """Whether no NOOP has come for ``after_s``, so that the session should `grab` without it."""
        if self.under_way or now - self._sent_at < after_s:
            return False
        self._sent_at = now
        self.woken = True
        self._fruitless = 0
        return True

    def answered(self, jobs: int, none: int) -> None:
        """``jobs`` grabs brought a job, which takes over the slot; ``none`` brought NO_JOB.

        Raises:
            RemoteProtocolError: there are more answers than grabs. Nothing has changed then: the jobs have no slots, and
                the grabs keep theirs until `close`.
        """
        answers = jobs + none
        if answers > self.under_way:
            raise RemoteProtocolError("the server sent more jobs than were grabbed")
        self.under_way -= answers
        share = self._share
        share.unanswered -= answers
        share.unresponsive = False
        if share.waiters:
            share.resume()
        self._received += jobs
        if none:
            self._admission.refund(none)
            self._admission.release(self.function_slots, none)
            self._function.return_grabs(none)
            received = self._received
            if received:
                self._fruitless = 0
            # Somewhat more than the jobs received, decreasing slowly: a NO_JOB is cheap, another round trip is not.
            self._window = max(received + (received >> 2) + 1, self._window - (self._window >> 3))
            self._received = 0
        elif self.under_way == 0 and jobs:
            self._window = min(self._window * 2, self.function_slots.limit)
            self._received = 0
            self._fruitless = 0

    def noop(self, now: float, pending: int) -> None:
        """The server has signalled that it has jobs."""
        self.woken = True
        if now - self._sent_at < SPIN_S and not pending and not self._received:
            # gearmand 1.1.20 answers PRE_SLEEP with NOOP and GRAB with NO_JOB without end when the queue holds a
            # future EPOCH job and a LOW one. With many workers a few fruitless wake-ups are normal.
            self._fruitless += 1
            if self._fruitless > FRUITLESS and self._resting is None:
                rest_s = exponential(self._fruitless - FRUITLESS, MIN_REST_S, 2.0, MAX_REST_S)
                self._rest(rest_s * (0.5 + random.random()))

    def are_answered(self) -> bool:
        """Whether all grabs that were under way when this last returned True are answered. Called at each tick.

        So the age of a grab is known to within a tick, or twice the limit, without reading the clock for each grab.
        """
        if self.under_way and self.answered_total < self._marked:
            return False
        self._marked = self.sent
        return True

    def on_slots(self) -> None:
        """See `admission.Waiter`."""
        self._soon()

    def resume(self) -> None:
        """Grab again: a gate has opened, or the process is no longer quiet."""
        self.woken = True
        self._soon()

    def stop(self) -> None:
        """Stop waiting for slots."""
        self._admission.forget(self)
        self._share.forget(self)

    def close(self) -> int:
        """The connection is closed. Returns the number of grabs that will not be answered, each with a slot."""
        self.stop()
        if self._resting is not None:
            self._resting.stop()
            self._resting.close()
            self._resting = None
        lost, self.under_way = self.under_way, 0
        self._share.unanswered -= lost
        self._share.resume()
        self._function.return_grabs(lost)
        return lost

    def _rest(self, seconds: float) -> None:
        """Send no grabs for ``seconds``."""
        timer = self._resting = get_hub().loop.timer(seconds)

        def rested() -> None:
            timer.stop()
            timer.close()
            self._resting = None
            self._soon()

        timer.start(rested)
