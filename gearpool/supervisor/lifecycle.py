"""The daemon's state, shared by the modules that read or change it. Floor 4; pure."""

from __future__ import annotations

from gearpool.states import advance
from gearpool.supervisor.states import DAEMON, DaemonEvent, DaemonState


class Lifecycle:
    """The state of one daemon.

    Attributes:
        state: see `states.DAEMON`; only `advance` changes it.
    """

    def __init__(self) -> None:
        self.state = DaemonState.CHECKING

    @property
    def stopping(self) -> bool:
        """Whether the daemon is draining or has stopped."""
        return self.state in {DaemonState.DRAINING, DaemonState.STOPPED}

    @property
    def starting(self) -> bool:
        """Whether the daemon has yet to become ready for the first time."""
        return self.state in {DaemonState.CHECKING, DaemonState.STARTING}

    def advance(self, event: DaemonEvent) -> None:
        """Change the state.

        Raises:
            IllegalTransitionError: ``event`` cannot happen in this state.
        """
        self.state = advance(DAEMON, self.state, event)
