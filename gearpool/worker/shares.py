"""What one server may hold of this process's slots by leaving grabs unanswered. Floor 3; pure.

Law: a slot is reserved from the grab on, so a server that does not answer keeps slots from the others. With several
servers one may have at most half of them reserved like that, of the process's as of each function's; and a server that let
a grab become too old is asked for one job at a time until it answers.
"""

from __future__ import annotations

from typing import Protocol


class Asker(Protocol):
    """The grabs of one session."""

    def feed(self) -> None:
        """The server may be asked for more."""


class ServerShare:
    """One server, over all sessions of this process.

    Args:
        alone: there is no other server that could be starved.

    Attributes:
        unanswered: grabs under way; `Grabs` counts them.
        doubted: it let a grab become too old and has not answered one since.
        waiting: who would have asked for more; `feed` when grabs are answered or lost.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self.unanswered = 0
        self.doubted = False
        self._alone = alone
        self.waiting: dict[Asker, None] = {}

    @property
    def limited(self) -> bool:
        """Whether `allowed` has to be asked at all."""
        return self.doubted or not self._alone

    def allowed(self, who: Asker, slots: int, function_slots: int, unanswered: int) -> int:
        """How many more grabs may be sent now; if none, ``who`` is fed when that changes.

        Args:
            who: who asks.
            slots: the process's slots.
            function_slots: the function's slots.
            unanswered: the asker's own grabs under way.
        """
        if self.doubted:
            most = 1 - self.unanswered
        else:
            most = min(max(1, slots // 2) - self.unanswered, max(1, function_slots // 2) - unanswered)
        if most <= 0:
            self.waiting[who] = None
            return 0
        return most

    def feed(self) -> None:
        """Fewer grabs are under way: let those ask who could not."""
        waiting, self.waiting = self.waiting, {}
        for who in waiting:
            who.feed()

    def forget(self, who: Asker) -> None:
        """``who`` asks for nothing any more."""
        self.waiting.pop(who, None)
