"""Time limits and unique ids of either client, and what the answers of several servers mean."""

from __future__ import annotations

import pytest

from gearpool.client.defaults import ClientSettings
from gearpool.client.dispatching import Dispatching, first_known
from gearpool.client.results import JobStatus
from gearpool.client.submission import UNSET
from gearpool.errors import GearpoolError, InvalidArgument, NoServersAvailable, TimedOut
from gearpool.timing import Deadline

KNOWN = JobStatus("H:1", True, False, None, server="a:1")
UNKNOWN = JobStatus("H:1", False, False, None, server="b:1")
DOWN = NoServersAvailable({"c:1": "down"})
SILENT = TimedOut("d:1 did not answer")


def dispatching(job_timeout: float | None) -> Dispatching:
    settings = ClientSettings(
        "a:1,b:1", exceptions=True, connect_timeout=1, request_timeout=2, job_timeout=job_timeout, max_packet=100,
        modules=None,
    )  # fmt: skip
    made = Dispatching(settings)
    made._begin()
    return made


def test_a_limit_that_the_call_does_not_give_is_the_clients() -> None:
    client = dispatching(None)
    assert client.names == ["a:1", "b:1"]
    assert client.job_deadline(UNSET) == Deadline.never() == client.request_deadline(None)
    assert client.job_deadline(5).at < Deadline.after(6).at
    assert client.request_deadline(UNSET).at < Deadline.after(3).at


def test_wrong_limits_are_told_by_name() -> None:
    with pytest.raises(InvalidArgument, match="job_timeout"):
        dispatching(-1)


def test_no_unique_id_is_made_twice() -> None:
    clients = [dispatching(1), dispatching(1)]
    assert len({client.fresh_unique() for client in clients for _ in range(10)}) == 20


@pytest.mark.parametrize("others", [[], [UNKNOWN], [DOWN], [SILENT, DOWN]])
def test_a_server_that_knows_the_job_settles_it(others: list[JobStatus | GearpoolError]) -> None:
    assert first_known([*others, KNOWN]) is KNOWN


def test_that_no_server_knows_the_job_is_told_only_when_all_have_answered() -> None:
    assert first_known([UNKNOWN, UNKNOWN]) is UNKNOWN
    with pytest.raises(NoServersAvailable) as down:
        first_known([UNKNOWN, DOWN, NoServersAvailable({"e:1": "gone"})])
    assert down.value.reasons == {"c:1": "down", "e:1": "gone"}
    with pytest.raises(TimedOut, match="d:1"):
        first_known([UNKNOWN, DOWN, SILENT])
