"""Keeps the failures and stalls of all workers, merged by group, over reloads and replaced workers. Floor 4; pure.

Invariant: at most `status.MAX_GROUPS` groups of each kind. Of more, the one that was not seen for the longest time is
forgotten, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from gearpool.status import MAX_GROUPS, FailureGroup, FailuresAnswer, StallGroup

_Group = TypeVar("_Group", FailureGroup, StallGroup)


class FailureStore:
    """The groups of one daemon.

    Attributes:
        changes: grows by one with every change, so that a reader knows whether there is anything new.
    """

    def __init__(self, max_groups: int = MAX_GROUPS) -> None:
        self._max_groups = max_groups
        self._failures: dict[str, FailureGroup] = {}
        self._stalls: dict[str, StallGroup] = {}
        self._forgotten_failures = self._forgotten_stalls = 0
        self.changes = 0

    def add_failures(self, groups: Iterable[FailureGroup], left_out: int = 0) -> None:
        """Merge failures of a worker; ``left_out`` groups were too many for the worker itself."""
        self._forgotten_failures += left_out + self._merge(self._failures, groups)
        self.changes += left_out > 0

    def add_stalls(self, groups: Iterable[StallGroup], left_out: int = 0) -> None:
        """Merge stalls of a worker."""
        for group in groups:
            known = self._stalls.get(group["id"])
            total_s, longest_s = group["total_s"], group["longest_s"]
            if known is not None:
                total_s, longest_s = total_s + known["total_s"], max(longest_s, known["longest_s"])
            added: StallGroup = {**group, "total_s": total_s, "longest_s": longest_s}
            self._forgotten_stalls += self._merge(self._stalls, [added])
        self._forgotten_stalls += left_out
        self.changes += left_out > 0

    def answer(self) -> FailuresAnswer:
        """Everything that is kept, the last seen first."""
        return {
            "failures": list(reversed(self._failures.values())),
            "stalls": list(reversed(self._stalls.values())),
            "forgotten": {"failures": self._forgotten_failures, "stalls": self._forgotten_stalls},
        }

    def _merge(self, kept: dict[str, _Group], groups: Iterable[_Group]) -> int:
        """Merge ``groups`` into ``kept``, which is in the order of the last times; returns how many were forgotten."""
        forgotten = 0
        for group in groups:
            self.changes += 1
            known = kept.pop(group["id"], None)
            merged = group
            if known is not None:
                newer, older = (group, known) if group["last"] >= known["last"] else (known, group)
                merged = newer.copy()
                merged["count"] = newer["count"] + older["count"]
                merged["first"] = min(newer["first"], older["first"])
            kept[group["id"]] = merged
            if len(kept) > self._max_groups:
                oldest = min(kept, key=lambda each: kept[each]["last"])
                del kept[oldest]
                forgotten += 1
        return forgotten
