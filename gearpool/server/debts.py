"""The memory that connections cost: output they do not read, packets they began and do not finish, requests that wait
for room in the output. Pure.

Rule: one connection may cost ``max_each`` bytes of output, all together ``max_total``. Beyond that the connection that
has been in debt longest is closed, then the next. Debts below `SMALL` are not counted, so they cost nothing to track.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

SMALL = 64 * 1024
"""Bytes from which on a debt is counted."""

_Debtor = TypeVar("_Debtor", bound=Hashable)


class Debts(Generic[_Debtor]):
    """Who owes how many bytes, in the order in which they got into debt."""

    def __init__(self, max_total: int) -> None:
        self.max_total = max_total
        self.total: int = 0
        self._owed: dict[_Debtor, int] = {}

    def __contains__(self, debtor: object) -> bool:
        """Whether this one is in debt."""
        return debtor in self._owed

    def set(self, debtor: _Debtor, size: int) -> None:
        """``debtor`` costs ``size`` bytes now."""
        if size < SMALL:
            self.clear(debtor)
            return
        self.total += size - self._owed.get(debtor, 0)
        self._owed[debtor] = size

    def clear(self, debtor: _Debtor) -> None:
        """It costs nothing any more."""
        self.total -= self._owed.pop(debtor, 0)

    def over(self) -> _Debtor | None:
        """While there is too much in all: who has been in debt longest."""
        return next(iter(self._owed)) if self.total > self.max_total and self._owed else None
