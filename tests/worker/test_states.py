"""The state tables of sessions and runs: every row, and every illegal transition."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool.jobs import JobTimeout
from gearpool.states import IllegalTransitionError, advance
from gearpool.worker.runs import Run
from gearpool.worker.states import RUN, SESSION, RunEvent, RunState, SessionEvent, SessionState


@pytest.mark.parametrize(("state", "event"), list(itertools.product(SessionState, SessionEvent)))
def test_a_session_changes_its_state_only_as_its_table_allows(state: SessionState, event: SessionEvent) -> None:
    if (state, event) in SESSION:
        assert advance(SESSION, state, event) is not state
    else:
        with pytest.raises(IllegalTransitionError):
            advance(SESSION, state, event)


def test_closing_ends_a_session_in_every_state_as_drained_or_lost() -> None:
    for state in (SessionState.OPEN, SessionState.DRAINING, SessionState.FINISHED):
        end = SessionState.LOST if state is SessionState.OPEN else SessionState.DRAINED
        assert advance(SESSION, state, SessionEvent.CLOSE) is end
    assert not [state for state, _ in SESSION if state in (SessionState.LOST, SessionState.DRAINED)]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(RunState, RunEvent)))
def test_a_run_changes_its_state_only_as_its_table_allows(state: RunState, event: RunEvent) -> None:
    if (state, event) in RUN:
        assert advance(RUN, state, event) is not RunState.RUNNING
    else:
        with pytest.raises(IllegalTransitionError):
            advance(RUN, state, event)


@given(st.lists(st.sampled_from(RunEvent), max_size=6))
def test_a_run_follows_its_table_after_any_sequence_of_events(events: list[RunEvent]) -> None:
    replies: Any = SimpleNamespace()
    job: Any = SimpleNamespace()
    run, state = Run(replies, job, None), RunState.RUNNING
    for event in events:
        if (state, event) not in RUN:
            return
        before, state = state, advance(RUN, state, event)
        if event is RunEvent.INTERRUPT:
            run.interrupted(JobTimeout("over"))
        elif event is RunEvent.ABANDON:
            run.abandon()
        else:
            assert run.end() == (before is not RunState.ABANDONED)
        assert run.state is state
        assert (run.ended, run.abandoned) == (state is RunState.ENDED, state is RunState.ABANDONED)
