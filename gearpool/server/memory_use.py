"""Accounts for the memory of connections: unread output, unfinished packets, requests that wait for room. Pure.

All connections together may use ``max_total`` bytes. Above that the connection that has been counted longest is closed, then
the next. Less than `SMALL` bytes are not counted, so that they cost nothing to track.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

SMALL = 64 * 1024
"""Bytes from which on a connection is counted."""

_Owner = TypeVar("_Owner", bound=Hashable)


class MemoryUse(Generic[_Owner]):
    """The bytes that each connection uses, in the order in which they passed `SMALL`."""

    def __init__(self, max_total: int) -> None:
        self.max_total = max_total
        self.total: int = 0
        self._owed: dict[_Owner, int] = {}

    def __contains__(self, owner: object) -> bool:
        """Whether this connection is counted."""
        return owner in self._owed

    def set(self, owner: _Owner, size: int) -> None:
        """``owner`` uses ``size`` bytes now."""
        if size < SMALL:
            self.clear(owner)
            return
        self.total += size - self._owed.get(owner, 0)
        self._owed[owner] = size

    def clear(self, owner: _Owner) -> None:
        """It is closed."""
        self.total -= self._owed.pop(owner, 0)

    def over(self) -> _Owner | None:
        """The connection to close while the total exceeds the limit: the one counted longest. None otherwise."""
        return next(iter(self._owed)) if self.total > self.max_total and self._owed else None
