"""Adds up what the workers say of themselves, those that have gone included. Floor 4; pure.

Law: counters never fall when a child is replaced: what a child had counted when it went is kept. Gauges (jobs in
progress, slots) go with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COUNTERS = frozenset({"outcomes", "duration_buckets", "duration_sum_s", "stalls", "stall_s", "reconnects"})
"""Names, at any depth of a status, under which everything only grows."""

SECTIONS = ("functions", "servers", "slots", "stalls", "stall_s", "reconnects")

Tree = dict[str, Any]


class Totals:
    """The sum of all children that have gone, and with `view` also of those that live."""

    def __init__(self) -> None:
        self._past: Tree = {}

    def retire(self, status: Mapping[str, Any]) -> None:
        """A child has gone; this was its last status."""
        self._past = added(self._past, counters_of({name: status[name] for name in SECTIONS if name in status}))

    def view(self, statuses: Iterable[Mapping[str, Any]]) -> Tree:
        """The SECTIONS over all children, living and gone."""
        total = self._past
        for status in statuses:
            total = added(total, {name: status[name] for name in SECTIONS if name in status})
        return total


def jobs_run(status: Mapping[str, Any]) -> int:
    """Runs of jobs that a child's status tells of."""
    functions = status.get("functions") or {}
    return sum(sum((one.get("outcomes") or {}).values()) for one in functions.values())


def counters_of(tree: Mapping[str, Any]) -> Tree:
    """The tree without what is not a counter."""
    kept: Tree = {}
    for name, value in tree.items():
        if name in COUNTERS:
            kept[name] = value
        elif isinstance(value, Mapping):
            inner = counters_of(value)
            if inner:
                kept[name] = inner
    return kept


def added(one: Any, other: Any) -> Any:
    """Two trees of equal shape as one: numbers are added, lists by position, flags are or-ed, words: the latter's."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = [*one, *(name for name in other if name not in one)]
        return {
            name: added(one[name], other[name]) if name in one and name in other else one.get(name, other.get(name))
            for name in names
        }
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [added(mine, theirs) for mine, theirs in zip(one, other, strict=True)]
    if isinstance(one, bool) and isinstance(other, bool):
        return one or other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one + other
    return other if other is not None else one
