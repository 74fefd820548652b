from __future__ import annotations

from array import array

import pytest

from gearpool.metrics import BOUNDS
from gearpool.web.samples import Counts, quantile, take
from tests.web.sites import function, status


def test_a_sample_has_every_function_and_their_sum() -> None:
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[3] = 5
    rows = {
        "a": function(outcomes={"complete": 3, "timeout": 2}, duration_buckets=buckets),
        "b": function(outcomes={"retried": 1, "dead_letter": 1}, duration_buckets=buckets),
    }
    sample = take(status(functions=rows, time=5.0))
    assert sample.time == 5.0
    assert (sample.functions["a"].runs, sample.functions["a"].failed) == (5, 2)
    assert (sample.functions["b"].runs, sample.functions["b"].failed) == (2, 1)
    assert (sample.total.runs, sample.total.failed, sample.total.buckets[3]) == (7, 3, 10)


def test_the_difference_never_is_negative() -> None:
    older, newer = Counts(5, 1, array("Q", [5, 0])), Counts(7, 1, array("Q", [4, 3]))
    assert newer.since(older) == Counts(2, 0, array("Q", [0, 3]))
    assert older.since(newer) == Counts(0, 0, array("Q", [1, 0]))
    assert newer.since(None) is newer


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, [0, 0, 0], None),
        (0.5, [], None),
        (0.5, [10, 0, 0], 0.5),
        (1.0, [10, 0, 0], 1.0),
        (0.5, [0, 10, 0], 1.5),
        (0.95, [50, 50, 0], 1.9),
        (0.5, [0, 0, 10], 2.0),
        (0.25, [50, 50, 0], 0.5),
    ],
)
def test_a_quantile_is_estimated_within_its_bucket(share: float, buckets: list[int], expected: float | None) -> None:
    assert quantile(share, buckets, [1.0, 2.0]) == (None if expected is None else pytest.approx(expected))
