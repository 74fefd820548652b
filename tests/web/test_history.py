from __future__ import annotations

from typing import Any

from gearpool.metrics import BOUNDS
from gearpool.web import history as module
from gearpool.web.history import History
from gearpool.web.samples import take
from tests.web.sites import function, status


def add(history: History, at: float, queued: dict[str, int] | None = None, **functions: int) -> None:
    """A sample of runs that took from 0.5 to 1 s."""
    rows: dict[str, Any] = {}
    for name, runs in functions.items():
        buckets = [0] * (len(BOUNDS) + 1)
        buckets[9] = runs
        rows[name] = function(outcomes={"complete": runs}, duration_buckets=buckets, in_progress=3, slots=10)
    now = status(time=at, functions=rows, in_progress=4)
    history.add(take(now), now, queued or {})


def test_it_starts_empty() -> None:
    history = History()
    assert history.of("f") is None
    assert history.overview()["functions"] == {}
    add(history, 0.0, f=1)
    assert history.of("f") is None


def test_every_ten_seconds_there_is_a_point() -> None:
    history = History()
    for second in range(31):
        add(history, float(second), {"f": 7}, f=10 * second)
    row = history.of("f")
    assert row == {
        "step_s": 10.0, "end": 30.0, "rate": [10.0] * 3, "failed": [0.0] * 3, "p50": [0.75] * 3, "p95": [0.975] * 3,
        "p99": [0.995] * 3, "in_progress": [3.0] * 3, "slots": [10.0] * 3, "queued": [7.0] * 3,
    }  # fmt: skip
    total = history.overview()["total"]
    assert (total["rate"], total["in_progress"], total["slots"]) == ([10.0] * 3, [4.0] * 3, [100.0] * 3)


def test_what_is_not_known_is_null() -> None:
    history = History()
    add(history, 0.0, f=5)
    add(history, 10.0, f=5)
    add(history, 20.0, f=5, g=20)
    row = history.of("g")
    assert row is not None
    assert (row["rate"], row["queued"], row["p50"]) == ([None, 2.0], [None, None], [None, 0.75])
    assert history.overview()["total"]["queued"] == [None, None]


def test_the_overview_has_a_point_a_minute_counted_from_the_newest() -> None:
    history = History()
    for step in range(15):
        add(history, 10.0 * step, f=10 * step * step)
    overview = history.overview()
    assert (overview["step_s"], overview["end"]) == (60.0, 140.0)
    assert len(overview["functions"]["f"]["rate"]) == 3


def test_an_hour_is_kept_and_no_more() -> None:
    history = History()
    for step in range(500):
        add(history, 10.0 * step, f=10 * step)
    row = history.of("f")
    assert row is not None
    assert len(row["rate"]) == 360
    assert len(history.overview()["functions"]["f"]["rate"]) == 60


def test_a_function_that_is_gone_is_forgotten_after_the_hour() -> None:
    history = History()
    add(history, 0.0, f=1, g=1)
    for step in range(1, 3):
        add(history, 10.0 * step, f=1, g=10 * step)
    for step in range(3, 362):
        add(history, 10.0 * step, f=1)
    row = history.of("g")
    assert row is not None
    assert row["rate"][-1] is None
    assert row["rate"][0] == 1.0
    add(history, 3620.0, f=1)
    assert history.of("g") is None
    assert history.of("f") is not None


def test_memory_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "MAX_FUNCTIONS", 2)
    history = History()
    for step in range(3):
        add(history, 10.0 * step, a=1, b=1, c=1)
    assert list(history.overview()["functions"]) == ["a", "b"]


def test_a_clock_that_was_set_back_makes_no_point() -> None:
    history = History()
    add(history, 1000.0, f=1)
    add(history, 500.0, f=1)
    add(history, 1010.0, f=11)
    row = history.of("f")
    assert row is not None
    assert row["rate"] == [1.0]
