"""When a session asks for jobs, and for how many. Floor 3.

Law: a grab is sent only against a reserved slot, and keeps it until it is answered or its connection is gone. What was
asked for comes as a job or as NO_JOB; until the server says that there is more (NOOP), nothing is asked for again.

Sources: gearmand 1.1.20 and 2.0.0 on the wire. [GRAB × n, PRE_SLEEP] loses no wake-up; the next NOOP comes only after a
GRAB; a NOOP may come before the answer to a GRAB without being it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent.hub import get_hub

from gearpool.errors import RemoteProtocolError
from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from gearpool.timing import exponential
from gearpool.worker.functions import Function
from gearpool.worker.shares import ServerShare
from gearpool.worker.slots import FunctionSlots

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool

GATE_S = 5.0
"""A closed gate is looked at again after so long at the latest."""
SPIN_S = 0.02
"""A NOOP sooner than this after a grab that brought nothing counts as fruitless."""
FRUITLESS = 8
"""So many fruitless wake-ups in a row are ordinary with many workers; after that the grabs become rarer."""
REST_S = 0.002
LONGEST_REST_S = 1.0

_GRAB = request(PacketType.GRAB_JOB_UNIQ)
_PRE_SLEEP = request(PacketType.PRE_SLEEP)


class Grabs:
    """The grabs of one session.

    Args:
        pool: whose slots and budget limit them.
        function: what is grabbed; its gates and slots limit them, too.
        speak: called when there may be something to ask for again.
        share: what the server may keep unanswered, over all its sessions.

    Attributes:
        under_way: grabs that are not answered, each with a reserved slot.
        asked: how many grabs were ever sent.
        woken: the server may have jobs.
    """

    def __init__(
        self, pool: Pool, function: Function, speak: Callable[[], None], share: ServerShare | None = None
    ) -> None:
        self.function_slots: FunctionSlots = function.slots
        self.under_way = 0
        self.asked = 0
        self.woken = True
        self._share = share or ServerShare()
        self._pool = pool
        self._function = function
        self._speak = speak
        self._came = 0
        """Jobs since the last NO_JOB, or since all that was asked for came."""
        self._window = 1
        self._asked_at = 0.0
        self._fruitless = 0
        self._resting: Any = None
        self._marked = 0

    @property
    def answered_so_far(self) -> int:
        """How many grabs were ever answered."""
        return self.asked - self.under_way

    def ask(self, now: float, pending: int) -> bytes:
        """What to send now to be given jobs, their slots reserved; empty if there is no reason to ask.

        Args:
            now: ``time.monotonic()``.
            pending: jobs that came and are not begun: they count as part of the window.
        """
        if not self.woken or self._resting is not None:
            return b""
        function, pool = self._function, self._pool
        if pool.quiet:
            return b""
        wanted = min(self._window, function.cap) - self.under_way - pending
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
        if pool.budget is not None:
            wanted = min(wanted, pool.budget)
            if wanted <= 0:
                pool.short.add(self)
                return b""
        share = self._share
        if share.limited:
            wanted = min(wanted, share.allowed(self, pool.slots.limit, function.slots.limit, self.under_way))
            if wanted <= 0:
                return b""
        granted = pool.slots.reserve(self, wanted)
        if granted == 0:
            return b""
        if function.rate is not None or function.breaker is not None:
            function.asked(granted)
        if pool.budget is not None:
            pool.budget -= granted
        self.woken = False
        self.under_way += granted
        self.asked += granted
        share.unanswered += granted
        self._asked_at = now
        return _GRAB * granted + _PRE_SLEEP

    def ask_again(self, now: float, after_s: float) -> bool:
        """Whether it is time to `ask` although no NOOP came for ``after_s``; from then on it will."""
        if self.under_way or now - self._asked_at < after_s:
            return False
        self._asked_at = now
        self.woken = True
        self._fruitless = 0
        return True

    def answered(self, jobs: int, none: int) -> None:
        """``jobs`` of the grabs brought a job, which has their slot from now on; ``none`` brought NO_JOB.

        Raises:
            RemoteProtocolError: more came than was asked for. Nothing has changed then: the jobs have no slot, and the
                grabs keep theirs until `close`.
        """
        answers = jobs + none
        if answers > self.under_way:
            raise RemoteProtocolError("the server assigned more jobs than were asked for")
        self.under_way -= answers
        share = self._share
        share.unanswered -= answers
        share.doubted = False
        if share.waiting:
            share.feed()
        self._came += jobs
        if none:
            self._pool.give_back(none)
            if self._pool.slots.release(self.function_slots, none):
                self._pool.feed_soon()
            self._function.did_not_come(none)
            came = self._came
            if came:
                self._fruitless = 0
            # As many as came and a little more, coming down slowly: NO_JOB is cheap, a further round trip is not.
            self._window = max(came + (came >> 2) + 1, self._window - (self._window >> 3))
            self._came = 0
        elif self.under_way == 0 and jobs:
            self._window = min(self._window * 2, self.function_slots.limit)
            self._came = 0
            self._fruitless = 0

    def noop(self, now: float, pending: int) -> None:
        """The server has jobs, or says so."""
        self.woken = True
        if now - self._asked_at < SPIN_S and not pending and not self._came:
            # gearmand 1.1.20 answers PRE_SLEEP with NOOP and GRAB with NO_JOB without end when the queue holds a
            # future EPOCH job and a LOW one. With many workers a few fruitless wake-ups are ordinary.
            self._fruitless += 1
            if self._fruitless > FRUITLESS and self._resting is None:
                rest_s = exponential(self._fruitless - FRUITLESS, REST_S, 2.0, LONGEST_REST_S)
                self._rest(rest_s * (0.5 + random.random()))

    def are_answered(self) -> bool:
        """Whether all grabs are answered that were under way when this was last true. Called at each tick.

        So the age of a grab is known to a tick, or twice the limit, without a clock being read for each.
        """
        if self.under_way and self.answered_so_far < self._marked:
            return False
        self._marked = self.asked
        return True

    def feed(self) -> None:
        """Slots are free: see `slots.Hungry`."""
        self._speak()

    def resume(self) -> None:
        """A gate has opened, or the pool is no longer quiet."""
        self.woken = True
        self._speak()

    def stop(self) -> None:
        """Wait for slots no longer."""
        self._pool.slots.forget(self)
        self._pool.short.discard(self)
        self._share.forget(self)

    def close(self) -> int:
        """The connection is gone; returns how many slots were reserved for what will not come now."""
        self.stop()
        if self._resting is not None:
            self._resting.stop()
            self._resting.close()
            self._resting = None
        lost, self.under_way = self.under_way, 0
        self._share.unanswered -= lost
        self._share.feed()
        self._function.did_not_come(lost)
        return lost

    def _rest(self, seconds: float) -> None:
        """Do not grab for a while."""
        timer = self._resting = get_hub().loop.timer(seconds)

        def rested() -> None:
            timer.stop()
            timer.close()
            self._resting = None
            self._speak()

        timer.start(rested)
