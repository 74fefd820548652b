"""Rate limit and circuit breaker, with a fake clock."""

from __future__ import annotations

import math

import pytest

from gearpool.settings import BreakerSettings
from gearpool.worker.gates import Breaker, BreakerState, Rate

SETTINGS = BreakerSettings(failures=3, within_s=10.0, pause_s=30.0)


def test_a_rate_allows_a_burst_of_one_second_and_then_its_rate() -> None:
    rate = Rate(50.0, 0.0)
    assert rate.allowed(0.0) == 50
    rate.take(50)
    assert rate.allowed(0.0) == 0
    assert rate.wait_s(0.0) == pytest.approx(0.02)
    assert rate.allowed(0.1) == 5
    assert rate.allowed(100.0) == 50


def test_a_rate_below_one_a_second_allows_one_job_at_a_time() -> None:
    rate = Rate(1 / 60, 0.0)
    assert rate.allowed(0.0) == 1
    rate.take(1)
    assert rate.wait_s(0.0) == pytest.approx(60.0)
    assert rate.allowed(59.0) == 0
    assert rate.allowed(60.001) == 1


def test_grabs_without_a_job_do_not_count_against_the_rate() -> None:
    rate = Rate(10.0, 0.0)
    rate.take(10)
    rate.give_back(4)
    assert rate.allowed(0.0) == 4


def test_a_changed_rate_applies_at_once() -> None:
    rate = Rate(10.0, 0.0)
    rate.change(2.0, 0.0)
    assert rate.allowed(0.0) == 2


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    assert [breaker.failed(now) for _ in range(3)] == [False, False, True]
    return breaker


def test_consecutive_failures_open_the_breaker() -> None:
    breaker = opened()
    assert breaker.state is BreakerState.OPEN
    assert breaker.allowed(29.9) == 0
    assert breaker.wait_s(10.0) == 20.0
    assert not breaker.failed(1.0)  # it started before the breaker opened


def test_a_success_or_a_long_time_between_failures_keeps_the_breaker_closed() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert not breaker.succeeded()
    breaker.failed(0.0)
    breaker.failed(1.0)
    assert not breaker.failed(10.5)
    assert breaker.allowed(10.5) is None


def test_after_the_pause_one_probe_job_opens_or_closes_the_breaker() -> None:
    for succeeds in (True, False):
        breaker = opened()
        assert breaker.allowed(30.0) == 1
        breaker.take(1)
        assert breaker.state is BreakerState.PROBING
        assert breaker.allowed(30.0) == 0
        assert breaker.wait_s(30.0) == math.inf
        if succeeds:
            assert breaker.succeeded()
            assert breaker.allowed(30.0) is None
        else:
            assert breaker.failed(30.0)
            assert breaker.allowed(59.0) == 0
            assert breaker.allowed(60.0) == 1


def test_a_probe_that_brought_no_job_is_sent_again() -> None:
    breaker = opened()
    breaker.allowed(30.0)
    breaker.take(1)
    breaker.give_back(1)
    assert breaker.allowed(30.0) == 1
