"""Limits how many jobs this process grabs: slots of the process and of each function, and a budget. Floor 3; pure.

Invariant: a slot is reserved before the grab is sent and held until the job ends. Slots are counted only here. Released
slots are offered first to the function that uses the fewest in relation to its weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

MAX_WEIGHT = 1e6


class Waiter(Protocol):
    """A session or a retry that waits for a slot."""

    function_slots: FunctionSlots

    def on_slots(self) -> None:
        """Called when slots may be free: try again now."""


class FunctionSlots:
    """The slots of one function: at most ``limit``, of which ``used`` are reserved or running."""

    __slots__ = ("limit", "used", "weight")

    def __init__(self, limit: int, weight: float = 1.0) -> None:
        self.limit = limit
        self.used = 0
        self.set_weight(weight)

    def set_weight(self, weight: float) -> None:
        """Set the weight, clamped so that sums and quotients stay finite."""
        self.weight = min(max(weight, 1 / MAX_WEIGHT), MAX_WEIGHT)


class Admission:
    """The slots of one process, and whether it grabs jobs at all.

    Args:
        limit: the maximum number of concurrent jobs in this process.

    Attributes:
        quiet: no jobs are grabbed; running jobs continue.
        budget: how many more jobs may be grabbed; None without limit.
        on_job_ended: called with the number of jobs that were reported or left to the server.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.quiet = False
        self.budget: int | None = None
        self.on_job_ended: Callable[[int], None] | None = None
        # A dict keeps the order of arrival: among equals, the one that has waited longest is first.
        self._waiters: dict[Waiter, None] = {}
        self._budget_waiters: dict[Waiter, None] = {}
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._offer_scheduled = False

    def start(self, soon: Callable[[Callable[[], None]], object]) -> None:
        """From now on, offer released slots in the event loop, through ``soon(callback)``."""
        self._soon = soon

    def reserve(self, waiter: Waiter, wanted: int) -> int:
        """Reserve up to ``wanted`` slots and return how many. If none, ``waiter.on_slots()`` is called later."""
        function = waiter.function_slots
        granted = min(wanted, self.limit - self.used, function.limit - function.used)
        if granted > 1 and self._waiters:
            granted = min(granted, self._fair_share(waiter, granted))
        if granted <= 0:
            self._waiters[waiter] = None
            return 0
        self.used += granted
        function.used += granted
        if self._waiters:
            self._waiters.pop(waiter, None)
        return granted

    def release(self, function: FunctionSlots, count: int = 1) -> None:
        """Release ``count`` slots and schedule an offer to the waiters."""
        self.used -= count
        function.used -= count
        if self._waiters:
            self.offer_soon()

    def forget(self, waiter: Waiter) -> None:
        """Remove a waiter."""
        self._waiters.pop(waiter, None)
        self._budget_waiters.pop(waiter, None)

    def offer_soon(self) -> None:
        """Schedule one `offer` in the event loop for all slots that are released until then."""
        if not self._offer_scheduled and self._soon is not None:
            self._offer_scheduled = True
            self._soon(self.offer)

    def offer(self) -> None:
        """Offer the free slots now, first to the function that uses the fewest in relation to its weight."""
        self._offer_scheduled = False
        waiters = list(self._waiters)
        waiters.sort(key=lambda waiter: waiter.function_slots.used / waiter.function_slots.weight)
        for waiter in waiters:
            if self.used >= self.limit:
                return
            if waiter in self._waiters and waiter.function_slots.used < waiter.function_slots.limit:
                del self._waiters[waiter]
                waiter.on_slots()

    def within_budget(self, waiter: Waiter, wanted: int) -> int:
        """``wanted``, or what is left of the budget. If nothing is left, ``waiter.on_slots()`` is called later."""
        if self.budget is None:
            return wanted
        if self.budget <= 0:
            self._budget_waiters[waiter] = None
        return min(wanted, self.budget)

    def refund(self, grabs: int) -> None:
        """Return ``grabs`` that brought no job to the budget, if there is one, and notify the waiters."""
        if self.budget is not None and grabs:
            self.budget += grabs
            waiters, self._budget_waiters = self._budget_waiters, {}
            for waiter in waiters:
                waiter.on_slots()

    def set_budget(self, budget: int | None, on_job_ended: Callable[[int], None] | None) -> None:
        """Allow ``budget`` more jobs, or any number if it is None; ``on_job_ended`` is called as they end."""
        self.budget = budget
        self.on_job_ended = on_job_ended
        self._budget_waiters.clear()

    def jobs_ended(self, count: int) -> None:
        """``count`` jobs were reported, or left to the server."""
        if self.on_job_ended is not None:
            self.on_job_ended(count)

    def _fair_share(self, waiter: Waiter, max_slots: int) -> int:
        """How many of the free slots ``waiter`` may take while others wait, according to the weights."""
        mine = waiter.function_slots
        weights = {id(mine): mine.weight}
        used = mine.used
        for other in self._waiters:
            slots = other.function_slots
            if slots.used < slots.limit and id(slots) not in weights:
                weights[id(slots)] = slots.weight
                used += slots.used
        total = used + (self.limit - self.used)
        return max(1, min(max_slots, int(total * mine.weight / sum(weights.values())) - mine.used))
