"""Limits how many slots one server can hold by leaving grabs unanswered. Floor 3; pure.

A slot is reserved when the grab is sent, so a server that does not answer withholds slots from the others. With several
servers, one may hold at most half of the process's slots and half of each function's in this way. A server that let a
grab expire is asked for one job at a time until it answers.
"""

from __future__ import annotations

from typing import Protocol


class ShareWaiter(Protocol):
    """The grabs of one session."""

    def on_slots(self) -> None:
        """The server may be asked for more jobs."""


class ServerShare:
    """The unanswered grabs of one server, over all sessions of this process.

    Args:
        only_server: there is no other server to be starved.

    Attributes:
        unanswered: grabs that are not answered; counted by `Grabs`.
        unresponsive: it let a grab expire and has not answered one since.
        waiters: those that may ask once `resume` is called because grabs were answered or lost.
    """

    def __init__(self, *, only_server: bool = True) -> None:
        self.unanswered = 0
        self.unresponsive = False
        self._only_server = only_server
        self.waiters: dict[ShareWaiter, None] = {}

    @property
    def limited(self) -> bool:
        """Whether `allowed` needs to be consulted."""
        return self.unresponsive or not self._only_server

    def allowed(self, waiter: ShareWaiter, slots: int, function_slots: int, unanswered: int) -> int:
        """How many more grabs may be sent now. If none, ``waiter.on_slots()`` is called when that changes.

        Args:
            waiter: the grabs of the session that asks.
            slots: the slots of the process.
            function_slots: the slots of the function.
            unanswered: the session's own unanswered grabs.
        """
        if self.unresponsive:
            allowed = 1 - self.unanswered
        else:
            allowed = min(max(1, slots // 2) - self.unanswered, max(1, function_slots // 2) - unanswered)
        if allowed <= 0:
            self.waiters[waiter] = None
            return 0
        return allowed

    def resume(self) -> None:
        """Fewer grabs are unanswered: notify the waiters."""
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            waiter.on_slots()

    def forget(self, waiter: ShareWaiter) -> None:
        """Remove a waiter whose session has ended."""
        self.waiters.pop(waiter, None)
