from __future__ import annotations

from typing import Any

from gearpool.metrics import BOUNDS
from gearpool.web.rates import Rates
from gearpool.web.samples import take
from tests.web.sites import function, status


def add(rates: Rates, at: float, **functions: tuple[int, int]) -> None:
    """A sample: runs of 0.5 to 1 s, and how many of them were given up."""
    rows: dict[str, Any] = {}
    for name, (runs, failed) in functions.items():
        buckets = [0] * (len(BOUNDS) + 1)
        buckets[9] = runs
        rows[name] = function(outcomes={"complete": runs - failed, "failed": failed}, duration_buckets=buckets)
    rates.add(take(status(time=at, functions=rows)), list(BOUNDS))


def test_nothing_is_known_before_the_first_sample() -> None:
    rates = Rates()
    assert rates.functions() == {}
    assert rates.total() == {"now": 0.0, "runs_5m": 0, "failed_5m": 0, "p50": None, "p95": None, "p99": None}


def test_the_rate_of_now_is_over_five_seconds() -> None:
    rates = Rates()
    for second in range(20):
        add(rates, second, f=(10 * second, 0))
    add(rates, 20, f=(190, 0))
    assert rates.functions()["f"]["now"] == 8.0
    assert rates.total()["now"] == 8.0


def test_failures_and_durations_are_over_five_minutes() -> None:
    rates = Rates()
    for second in range(0, 400, 5):
        add(rates, second, f=(second, second // 5))
    row = rates.functions()["f"]
    assert 295 <= row["runs_5m"] <= 310
    assert 59 <= row["failed_5m"] <= 62
    assert (row["p50"], row["p99"]) == (0.75, 0.995)


def test_a_new_function_counts_from_nothing() -> None:
    rates = Rates()
    add(rates, 0.0, f=(5, 0))
    add(rates, 5.0, f=(5, 0), g=(10, 1))
    assert rates.functions()["f"]["now"] == 0.0
    assert rates.functions()["g"] == {
        "now": 2.0,
        "runs_5m": 10,
        "failed_5m": 1,
        "p50": 0.75,
        "p95": 0.975,
        "p99": 0.995,
    }
    assert rates.total()["runs_5m"] == 10
