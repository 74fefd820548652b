"""What a child and the daemon may be, and what leads from one to the other: two tables. Floor 4; pure.

Law: a state changes only by `advance`; an event that a state's row does not have is a mistake and raises.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar


class Stage(enum.Enum):
    """The life of one child process."""

    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"
    """It serves until its replacement is ready."""
    DRAINING = "draining"
    KILLED = "killed"
    """SIGKILL is on its way."""
    GONE = "gone"


class Turn(enum.Enum):
    """What happens to a child."""

    READY = "it says that it is ready"
    RETIRE = "a replacement is started"
    DRAIN = "it is told to finish and leave"
    KILL = "it is killed"
    EXIT = "the process has ended"


class Life(enum.Enum):
    """The life of the daemon."""

    CHECKING = "checking"
    STARTING = "starting"
    RUNNING = "running"
    RELOADING = "reloading"
    DRAINING = "draining"
    STOPPED = "stopped"


class Event(enum.Enum):
    """What happens to the daemon."""

    CHECKED = "the configuration is good"
    READY = "all children of the first start, or of the reload, are ready"
    RELOAD = "a reload begins"
    KEEP = "the reload is given up, nothing has changed"
    STOP = "leave, gracefully"
    EMPTY = "the last child has gone"


class IllegalTransitionError(RuntimeError):
    """A state was given an event it has no row for."""


CHILD: Mapping[tuple[Stage, Turn], Stage] = {
    (Stage.STARTING, Turn.READY): Stage.READY,
    (Stage.STARTING, Turn.KILL): Stage.KILLED,
    (Stage.STARTING, Turn.EXIT): Stage.GONE,
    (Stage.READY, Turn.RETIRE): Stage.RETIRING,
    (Stage.READY, Turn.DRAIN): Stage.DRAINING,
    (Stage.READY, Turn.KILL): Stage.KILLED,
    (Stage.READY, Turn.EXIT): Stage.GONE,
    (Stage.RETIRING, Turn.DRAIN): Stage.DRAINING,
    (Stage.RETIRING, Turn.KILL): Stage.KILLED,
    (Stage.RETIRING, Turn.EXIT): Stage.GONE,
    (Stage.DRAINING, Turn.KILL): Stage.KILLED,
    (Stage.DRAINING, Turn.EXIT): Stage.GONE,
    (Stage.KILLED, Turn.EXIT): Stage.GONE,
}

DAEMON: Mapping[tuple[Life, Event], Life] = {
    (Life.CHECKING, Event.CHECKED): Life.STARTING,
    (Life.CHECKING, Event.STOP): Life.DRAINING,
    (Life.STARTING, Event.READY): Life.RUNNING,
    (Life.STARTING, Event.STOP): Life.DRAINING,
    (Life.RUNNING, Event.RELOAD): Life.RELOADING,
    (Life.RUNNING, Event.STOP): Life.DRAINING,
    (Life.RELOADING, Event.READY): Life.RUNNING,
    (Life.RELOADING, Event.KEEP): Life.RUNNING,
    (Life.RELOADING, Event.STOP): Life.DRAINING,
    (Life.DRAINING, Event.EMPTY): Life.STOPPED,
}

_State = TypeVar("_State", Stage, Life)
_Happening = TypeVar("_Happening", Turn, Event)


def advance(table: Mapping[tuple[_State, _Happening], _State], state: _State, event: _Happening) -> _State:
    """The state after ``event``.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransitionError(f"{state.name} has no way to go on {event.name} ({event.value})") from None
