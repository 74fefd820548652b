"""The states of a session and of a run, as tables. Floor 3; pure. See `gearpool.states` for how they are read."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class SessionState(enum.Enum):
    """The life of one connection of a worker."""

    OPEN = "open"
    """It asks for jobs."""
    DRAINING = "draining"
    """It asks for no more jobs and finishes those it has."""
    FINISHED = "finished"
    """It has ended its side of the connection and waits for the server to close the other."""
    DRAINED = "drained"
    LOST = "lost"
    """The connection was closed or broken while it was not draining."""


class SessionEvent(enum.Enum):
    """What happens to a session."""

    DRAIN = "it is asked to take no more jobs"
    FINISH = "its last job is reported"
    CLOSE = "the connection is closed or lost"


class RunState(enum.Enum):
    """The life of one run of a handler that has yielded at least once, or has run too long."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """An exception was raised in the handler; it has its grace period to end."""
    ABANDONED = "abandoned"
    """Its job was reported without waiting for the handler, which cannot be ended."""
    ENDED = "ended"


class RunEvent(enum.Enum):
    """What happens to a run."""

    INTERRUPT = "an exception is raised in the handler"
    ABANDON = "the job is reported although the handler has not ended"
    END = "the handler returns or raises"


SESSION: Mapping[tuple[SessionState, SessionEvent], SessionState] = {
    (SessionState.OPEN, SessionEvent.DRAIN): SessionState.DRAINING,
    (SessionState.OPEN, SessionEvent.CLOSE): SessionState.LOST,
    (SessionState.DRAINING, SessionEvent.FINISH): SessionState.FINISHED,
    (SessionState.DRAINING, SessionEvent.CLOSE): SessionState.DRAINED,
    (SessionState.FINISHED, SessionEvent.CLOSE): SessionState.DRAINED,
}

RUN: Mapping[tuple[RunState, RunEvent], RunState] = {
    (RunState.RUNNING, RunEvent.INTERRUPT): RunState.INTERRUPTED,
    (RunState.RUNNING, RunEvent.ABANDON): RunState.ABANDONED,
    (RunState.RUNNING, RunEvent.END): RunState.ENDED,
    (RunState.INTERRUPTED, RunEvent.INTERRUPT): RunState.INTERRUPTED,
    (RunState.INTERRUPTED, RunEvent.ABANDON): RunState.ABANDONED,
    (RunState.INTERRUPTED, RunEvent.END): RunState.ENDED,
    (RunState.ABANDONED, RunEvent.INTERRUPT): RunState.ABANDONED,
    (RunState.ABANDONED, RunEvent.END): RunState.ENDED,
}
