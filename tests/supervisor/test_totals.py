from __future__ import annotations

from gearpool.supervisor.totals import Totals, added, counters_of, jobs_run

STATUS = {
    "functions": {"f": {"outcomes": {"complete": 2, "failed": 1}, "duration_buckets": [1, 2], "slots": 4}},
    "servers": {"s:4730": {"connected": True, "reconnects": 3}},
    "in_progress": 9,
}


def test_counters_of_those_that_have_gone_are_kept_and_gauges_are_not() -> None:
    totals = Totals()
    totals.retire(STATUS)
    assert totals.view([]) == {
        "functions": {"f": {"outcomes": {"complete": 2, "failed": 1}, "duration_buckets": [1, 2]}},
        "servers": {"s:4730": {"reconnects": 3}},
    }


def test_the_view_adds_the_living_to_the_gone() -> None:
    totals = Totals()
    totals.retire(STATUS)
    view = totals.view([STATUS, STATUS])
    assert view["functions"]["f"] == {
        "outcomes": {"complete": 6, "failed": 3},
        "duration_buckets": [3, 6],
        "slots": 8,
    }
    assert view["servers"]["s:4730"] == {"connected": True, "reconnects": 9}


def test_looking_changes_nothing() -> None:
    totals = Totals()
    totals.retire(STATUS)
    first = totals.view([STATUS])
    assert totals.view([STATUS]) == first


def test_a_child_that_never_said_anything_counts_for_nothing() -> None:
    totals = Totals()
    totals.retire({})
    assert totals.view([{}]) == {}


def test_flags_are_ored_and_words_are_the_latter() -> None:
    assert added({"up": False, "state": "a"}, {"up": True, "state": "b"}) == {"up": True, "state": "b"}


def test_functions_of_only_one_side_are_kept() -> None:
    assert added({"a": 1}, {"b": 2}) == {"a": 1, "b": 2}


def test_counters_of_drops_empty_branches() -> None:
    assert counters_of({"f": {"slots": 3}}) == {}


def test_jobs_run_counts_every_outcome() -> None:
    assert jobs_run(STATUS) == 3
    assert jobs_run({}) == 0
