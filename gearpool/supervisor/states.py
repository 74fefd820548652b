"""The states of a child process and of the daemon, and their transition tables. Floor 4; pure.

`gearpool.states.advance` applies them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class ChildState(enum.Enum):
    """The life of one child process."""

    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"
    """It serves until its replacement is ready."""
    DRAINING = "draining"
    KILLED = "killed"
    """SIGKILL was sent."""
    ENDED = "ended"


class ChildEvent(enum.Enum):
    """What happens to a child."""

    READY = "it has reported ready"
    RETIRE = "a replacement is started"
    DRAIN = "it is asked to finish its jobs and exit"
    KILL = "it is killed"
    EXIT = "the process has ended"


class DaemonState(enum.Enum):
    """The life of the daemon."""

    CHECKING = "checking"
    STARTING = "starting"
    RUNNING = "running"
    RELOADING = "reloading"
    DRAINING = "draining"
    STOPPED = "stopped"


class DaemonEvent(enum.Enum):
    """What happens to the daemon."""

    CHECKED = "the configuration is valid"
    READY = "all children of the start or of the reload are ready"
    RELOAD = "a reload begins"
    KEEP = "the reload has failed, nothing has changed"
    STOP = "it is asked to drain and exit"
    EMPTY = "the last child has ended"


CHILD: Mapping[tuple[ChildState, ChildEvent], ChildState] = {
    (ChildState.STARTING, ChildEvent.READY): ChildState.READY,
    (ChildState.STARTING, ChildEvent.KILL): ChildState.KILLED,
    (ChildState.STARTING, ChildEvent.EXIT): ChildState.ENDED,
    (ChildState.READY, ChildEvent.RETIRE): ChildState.RETIRING,
    (ChildState.READY, ChildEvent.DRAIN): ChildState.DRAINING,
    (ChildState.READY, ChildEvent.KILL): ChildState.KILLED,
    (ChildState.READY, ChildEvent.EXIT): ChildState.ENDED,
    (ChildState.RETIRING, ChildEvent.DRAIN): ChildState.DRAINING,
    (ChildState.RETIRING, ChildEvent.KILL): ChildState.KILLED,
    (ChildState.RETIRING, ChildEvent.EXIT): ChildState.ENDED,
    (ChildState.DRAINING, ChildEvent.KILL): ChildState.KILLED,
    (ChildState.DRAINING, ChildEvent.EXIT): ChildState.ENDED,
    (ChildState.KILLED, ChildEvent.EXIT): ChildState.ENDED,
}

DAEMON: Mapping[tuple[DaemonState, DaemonEvent], DaemonState] = {
    (DaemonState.CHECKING, DaemonEvent.CHECKED): DaemonState.STARTING,
    (DaemonState.CHECKING, DaemonEvent.STOP): DaemonState.DRAINING,
    (DaemonState.STARTING, DaemonEvent.READY): DaemonState.RUNNING,
    (DaemonState.STARTING, DaemonEvent.STOP): DaemonState.DRAINING,
    (DaemonState.RUNNING, DaemonEvent.RELOAD): DaemonState.RELOADING,
    (DaemonState.RUNNING, DaemonEvent.STOP): DaemonState.DRAINING,
    (DaemonState.RELOADING, DaemonEvent.READY): DaemonState.RUNNING,
    (DaemonState.RELOADING, DaemonEvent.KEEP): DaemonState.RUNNING,
    (DaemonState.RELOADING, DaemonEvent.STOP): DaemonState.DRAINING,
    (DaemonState.DRAINING, DaemonEvent.EMPTY): DaemonState.STOPPED,
}
