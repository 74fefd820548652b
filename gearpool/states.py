"""State machines as tables of transitions. Floor 0; pure.

A state changes only by `advance`; an event that has no row for a state is a bug and raises. The tables are in
`supervisor/states.py`, `worker/states.py` and `client/states.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

S = TypeVar("S", bound=enum.Enum)
E = TypeVar("E", bound=enum.Enum)


class IllegalTransitionError(RuntimeError):
    """A state was given an event that its table has no row for."""


def advance(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """The state after ``event``.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransitionError(f"{state.name} has no transition for {event.name} ({event.value})") from None
