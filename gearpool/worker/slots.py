"""Slots: how many jobs may be in this process at once, over all functions and for each. Floor 3; pure.

Law: counted here and nowhere else. A grab is sent only against a reserved slot, and a job keeps its slot from the grab
to its end. What is freed goes to whoever is hungry: the function with the least in use for its weight first.
"""

from __future__ import annotations

from typing import Protocol


class Hungry(Protocol):
    """A session that was told of jobs and had no slot for them."""

    function_slots: FunctionSlots

    def feed(self) -> None:
        """Slots are free: ask for jobs now."""


MOST_WEIGHT = 1e6


class FunctionSlots:
    """One function's share: ``limit`` jobs at once, of which ``used`` are reserved or running."""

    __slots__ = ("limit", "used", "weight")

    def __init__(self, limit: int, weight: float = 1.0) -> None:
        self.limit = limit
        self.used = 0
        self.weigh(weight)

    def weigh(self, weight: float) -> None:
        """Give it another weight. Beyond a million to one the shares are the same, and sums and quotients stay finite."""
        self.weight = min(max(weight, 1 / MOST_WEIGHT), MOST_WEIGHT)


class Slots:
    """The process's slots.

    Args:
        limit: how many jobs at once in this process.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        # A dict keeps the order of arrival: between equals the longest waiting is fed first.
        self._hungry: dict[Hungry, None] = {}

    def free(self, function: FunctionSlots) -> int:
        """How many slots this function could reserve now."""
        return max(0, min(self.limit - self.used, function.limit - function.used))

    def reserve(self, who: Hungry, wanted: int) -> int:
        """Take up to ``wanted`` slots for ``who``; returns how many. With none, ``who`` is fed when some are free."""
        function = who.function_slots
        granted = min(wanted, self.limit - self.used, function.limit - function.used)
        if granted > 1 and self._hungry:
            granted = min(granted, self._share(who, granted))
        if granted <= 0:
            self._hungry[who] = None
            return 0
        self.used += granted
        function.used += granted
        if self._hungry:
            self._hungry.pop(who, None)
        return granted

    def take(self, function: FunctionSlots) -> bool:
        """Take one slot without queueing for it; False if none is free."""
        if self.used < self.limit and function.used < function.limit:
            self.used += 1
            function.used += 1
            return True
        return False

    def release(self, function: FunctionSlots, count: int = 1) -> bool:
        """Give back ``count`` slots. True if somebody is hungry: call `feed` when convenient."""
        self.used -= count
        function.used -= count
        return bool(self._hungry)

    def forget(self, who: Hungry) -> None:
        """``who`` is gone and wants no slots."""
        self._hungry.pop(who, None)

    @property
    def hungry(self) -> bool:
        """Whether anybody waits for slots."""
        return bool(self._hungry)

    def feed(self) -> None:
        """Let the hungry ask, the one whose function uses least for its weight first, while slots are free."""
        waiting = list(self._hungry)
        waiting.sort(key=lambda who: who.function_slots.used / who.function_slots.weight)
        for who in waiting:
            if self.used >= self.limit:
                return
            if who in self._hungry and who.function_slots.used < who.function_slots.limit:
                del self._hungry[who]
                who.feed()

    def _share(self, who: Hungry, most: int) -> int:
        """How many of the free slots are fair for ``who`` while others wait: its weight's part of all their weights."""
        mine = who.function_slots
        weights = {id(mine): mine.weight}
        used = mine.used
        for other in self._hungry:
            slots = other.function_slots
            if slots.used < slots.limit and id(slots) not in weights:
                weights[id(slots)] = slots.weight
                used += slots.used
        total = used + (self.limit - self.used)
        return max(1, min(most, int(total * mine.weight / sum(weights.values())) - mine.used))
