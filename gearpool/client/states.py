"""The states of a submitted job as its client sees it, as a table. Floor 3; pure. See `gearpool.states`.

A submission keeps facts (its handle, how it ended, why it was given up) and not a state, because one is made for each job
and changed on the fastest path; `Submission._call_state` reads the state off the facts, and tests hold it to this table.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class CallState(enum.Enum):
    """Where a submission is."""

    SUBMITTED = "submitted"
    """On its way to a server, or about to be."""
    ACCEPTED = "accepted"
    """A server has acknowledged it and named its handle."""
    DONE = "done"
    """It completed; a background job as soon as it was accepted."""
    FAILED = "failed"
    """The worker reported WORK_FAIL or WORK_EXCEPTION."""
    GIVEN_UP = "given up"
    """Its client stopped waiting: refused, timed out, cancelled, or lost with its connection."""


class CallEvent(enum.Enum):
    """What happens to a submission."""

    ACCEPT = "JOB_CREATED for a foreground job"
    ACCEPT_BACKGROUND = "JOB_CREATED for a background job"
    REPORT = "WORK_DATA, WORK_WARNING or WORK_STATUS"
    COMPLETE = "WORK_COMPLETE"
    FAIL = "WORK_FAIL or WORK_EXCEPTION"
    GIVE_UP = "ERROR, its time limit has passed, it is cancelled, or its connection is lost for good"
    RESUBMIT = "it is sent again after its connection was lost"


_S, _E = CallState, CallEvent

CALL: Mapping[tuple[CallState, CallEvent], CallState] = {
    (_S.SUBMITTED, _E.ACCEPT): _S.ACCEPTED,
    (_S.SUBMITTED, _E.ACCEPT_BACKGROUND): _S.DONE,
    (_S.SUBMITTED, _E.GIVE_UP): _S.GIVEN_UP,
    (_S.SUBMITTED, _E.RESUBMIT): _S.SUBMITTED,
    (_S.ACCEPTED, _E.REPORT): _S.ACCEPTED,
    (_S.ACCEPTED, _E.COMPLETE): _S.DONE,
    (_S.ACCEPTED, _E.FAIL): _S.FAILED,
    (_S.ACCEPTED, _E.GIVE_UP): _S.GIVEN_UP,
    (_S.ACCEPTED, _E.RESUBMIT): _S.SUBMITTED,
    (_S.GIVEN_UP, _E.ACCEPT): _S.GIVEN_UP,
    (_S.GIVEN_UP, _E.ACCEPT_BACKGROUND): _S.GIVEN_UP,
    (_S.GIVEN_UP, _E.REPORT): _S.GIVEN_UP,
    (_S.GIVEN_UP, _E.COMPLETE): _S.GIVEN_UP,
    (_S.GIVEN_UP, _E.FAIL): _S.GIVEN_UP,
    (_S.GIVEN_UP, _E.GIVE_UP): _S.GIVEN_UP,
    (_S.DONE, _E.GIVE_UP): _S.DONE,
    (_S.FAILED, _E.GIVE_UP): _S.FAILED,
}
