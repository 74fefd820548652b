from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from gearpool.errors import InvalidArgument
from gearpool.timing import Backoff, Deadline, Duration, exponential, jittered, seconds_of


def test_a_deadline_is_a_moment_and_not_a_length() -> None:
    deadline = Deadline.after(5.0, lambda: 100.0)
    assert deadline.remaining(lambda: 103.0) == 2.0
    assert deadline.remaining(lambda: 200.0) == 0.0
    assert not deadline.expired(lambda: 104.9)
    assert deadline.expired(lambda: 105.0)


def test_never_has_no_time_out() -> None:
    assert Deadline.never().timeout() is None
    assert Deadline.after(None).at == math.inf
    assert Deadline.never().earlier(Deadline(3.0)) == Deadline(3.0)
    assert Deadline(3.0).timeout(lambda: 1.0) == 2.0


def test_delays_grow_to_their_cap_however_large_the_number_of_tries() -> None:
    assert [exponential(attempt, 1.0, 2.0, 10.0) for attempt in (1, 2, 3, 4, 5, 10_000)] == [1, 2, 4, 8, 10, 10]
    # Whole numbers, as a program may give them: no number of a million digits is computed.
    assert exponential(10**9, 1, 2, 10) == 10
    assert exponential(10**400, 1.0, 2.0, 10.0) == 10
    assert exponential(10**9, 1.0, 1.0, 10.0) == 1.0


def test_no_delay_stays_none_however_large_the_number_of_tries() -> None:
    assert [exponential(attempt, 0.0, 2.0, 10.0) for attempt in (1, 2, 1025, 10_000)] == [0, 0, 0, 0]


def test_jitter_goes_either_way_and_never_below_nothing() -> None:
    assert jittered(10.0, 0.2, lambda: 0.0) == pytest.approx(8.0)
    assert jittered(10.0, 0.2, lambda: 1.0) == pytest.approx(12.0)
    assert jittered(10.0, 1.0, lambda: 0.0) == 0.0


def test_a_backoff_starts_again_after_a_success() -> None:
    backoff = Backoff(0.5, 4.0, lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
    backoff.reset()
    assert backoff.next() == 0.5
    assert Backoff(1.0, 1.0, lambda: 0.0).next() == pytest.approx(0.1)


@pytest.mark.parametrize("seconds", [math.nan, "1", b"1"])
def test_what_is_no_number_is_no_deadline(seconds: float) -> None:
    with pytest.raises(InvalidArgument, match="a timeout is a number of seconds or None, got"):
        Deadline.after(seconds)


@pytest.mark.parametrize(
    ("given", "seconds"), [(0, 0.0), (2.5, 2.5), (dt.timedelta(minutes=1), 60.0), (10**400, math.inf)]
)
def test_a_duration_is_seconds_or_a_timedelta(given: Duration, seconds: float) -> None:
    assert seconds_of(given) == seconds


@pytest.mark.parametrize("given", ["5", -1, -0.001, math.nan, True, None, [5], dt.timedelta(seconds=-1)])
def test_what_is_no_duration_is_refused_by_name(given: Any) -> None:
    with pytest.raises(InvalidArgument, match="delay must be"):
        seconds_of(given, "delay")


def test_a_caller_allows_some_time_or_any() -> None:
    assert Deadline.allowed(None) == Deadline.never()
    assert 59 < Deadline.allowed(dt.timedelta(minutes=1)).remaining() <= 60
    with pytest.raises(InvalidArgument):
        Deadline.allowed(-1)
