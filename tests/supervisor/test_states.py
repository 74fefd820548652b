from __future__ import annotations

import itertools

import pytest

from gearpool.states import IllegalTransitionError, advance
from gearpool.supervisor.states import CHILD, DAEMON, ChildEvent, ChildState, DaemonEvent, DaemonState


@pytest.mark.parametrize(("state", "event"), list(itertools.product(ChildState, ChildEvent)))
def test_a_child_changes_state_only_by_its_table(state: ChildState, event: ChildEvent) -> None:
    if (state, event) in CHILD:
        assert advance(CHILD, state, event) is CHILD[state, event]
    else:
        with pytest.raises(IllegalTransitionError):
            advance(CHILD, state, event)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(DaemonState, DaemonEvent)))
def test_the_daemon_changes_state_only_by_its_table(state: DaemonState, event: DaemonEvent) -> None:
    if (state, event) in DAEMON:
        assert advance(DAEMON, state, event) is DAEMON[state, event]
    else:
        with pytest.raises(IllegalTransitionError):
            advance(DAEMON, state, event)


@pytest.mark.parametrize("state", [state for state in ChildState if state is not ChildState.ENDED])
def test_every_child_may_end_at_any_moment(state: ChildState) -> None:
    assert advance(CHILD, state, ChildEvent.EXIT) is ChildState.ENDED


def test_the_final_states_have_no_successor() -> None:
    assert not [row for row in CHILD if row[0] is ChildState.ENDED]
    assert not [row for row in DAEMON if row[0] is DaemonState.STOPPED]


@pytest.mark.parametrize(
    "state", [DaemonState.CHECKING, DaemonState.STARTING, DaemonState.RUNNING, DaemonState.RELOADING]
)
def test_the_daemon_may_be_stopped_at_any_moment(state: DaemonState) -> None:
    assert advance(DAEMON, state, DaemonEvent.STOP) is DaemonState.DRAINING
