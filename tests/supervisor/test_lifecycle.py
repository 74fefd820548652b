from __future__ import annotations

import pytest

from gearpool.states import IllegalTransitionError
from gearpool.supervisor.lifecycle import Lifecycle
from gearpool.supervisor.states import DaemonEvent, DaemonState


def test_a_daemon_is_starting_until_it_is_ready_and_stopping_until_the_end() -> None:
    lifecycle = Lifecycle()
    seen = [(lifecycle.state, lifecycle.starting, lifecycle.stopping)]
    for event in (DaemonEvent.CHECKED, DaemonEvent.READY, DaemonEvent.RELOAD, DaemonEvent.STOP, DaemonEvent.EMPTY):
        lifecycle.advance(event)
        seen.append((lifecycle.state, lifecycle.starting, lifecycle.stopping))
    assert seen == [
        (DaemonState.CHECKING, True, False),
        (DaemonState.STARTING, True, False),
        (DaemonState.RUNNING, False, False),
        (DaemonState.RELOADING, False, False),
        (DaemonState.DRAINING, False, True),
        (DaemonState.STOPPED, False, True),
    ]


def test_an_illegal_event_leaves_the_state_unchanged() -> None:
    lifecycle = Lifecycle()
    with pytest.raises(IllegalTransitionError):
        lifecycle.advance(DaemonEvent.EMPTY)
    assert lifecycle.state is DaemonState.CHECKING
