from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool.client.orders import make_order
from gearpool.client.states import CALL, CallEvent, CallState
from gearpool.client.submission import Submission
from gearpool.errors import JobTimedOut
from gearpool.protocol.packets import PacketType as T
from gearpool.states import IllegalTransitionError, advance
from gearpool.timing import Deadline

HAPPENINGS: dict[CallEvent, Callable[[Submission], object]] = {
    CallEvent.ACCEPT: lambda call: call._answered(T.JOB_CREATED, [b"H:1"]),
    CallEvent.ACCEPT_BACKGROUND: lambda call: call._answered(T.JOB_CREATED, [b"H:1"]),
    CallEvent.REPORT: lambda call: call._told(T.WORK_DATA, [b"H:1", b"part"]),
    CallEvent.COMPLETE: lambda call: call._ended(T.WORK_COMPLETE, b"result"),
    CallEvent.FAIL: lambda call: call._ended(T.WORK_FAIL, b""),
    CallEvent.GIVE_UP: lambda call: call._settle(JobTimedOut("over", "H:1", function="f", server="s")),
    CallEvent.RESUBMIT: lambda call: call._departs("s:2", 1.0),
}


def submission(*, background: bool) -> Submission:
    call = Submission(make_order("f", background=background), b"", b"", Deadline.never())
    call._departs("s:1", 0.0)
    return call


@given(st.booleans(), st.lists(st.sampled_from(CallEvent), max_size=8))
def test_a_submission_is_in_the_state_that_the_table_says_after_any_sequence(
    background: bool, events: list[CallEvent]
) -> None:
    call, state = submission(background=background), CallState.SUBMITTED
    for event in events:
        if (event is CallEvent.ACCEPT) == background and event in (CallEvent.ACCEPT, CallEvent.ACCEPT_BACKGROUND):
            continue  # the session knows which of the two it is
        if (state, event) not in CALL:
            continue  # the session does not let it happen: see `test_session`
        state = advance(CALL, state, event)
        HAPPENINGS[event](call)
        assert call._call_state is state


@pytest.mark.parametrize(("state", "event"), list(itertools.product(CallState, CallEvent)))
def test_what_the_table_lacks_is_illegal(state: CallState, event: CallEvent) -> None:
    if (state, event) in CALL:
        assert advance(CALL, state, event) in CallState
    else:
        with pytest.raises(IllegalTransitionError):
            advance(CALL, state, event)


def test_nothing_leads_out_of_an_end() -> None:
    for (state, _), after in CALL.items():
        if state in (CallState.DONE, CallState.FAILED, CallState.GIVEN_UP):
            assert after is state


def test_every_state_can_be_reached() -> None:
    assert {CallState.SUBMITTED, *CALL.values()} == set(CallState)
