"""Failures and stalls of all workers, merged by group."""

from __future__ import annotations

from typing import Any

from gearpool import json_lines
from gearpool.status import MAX_GROUPS, MAX_MESSAGE, MAX_TRACE, FailureGroup, StallGroup
from gearpool.supervisor.failure_store import FailureStore


def failure(name: str, last: float, count: int = 1, **other: Any) -> FailureGroup:
    group: FailureGroup = {
        "id": name, "function": "f", "exception": "ValueError", "place": "a.py:1 in f", "outcome": "failed", "count": count,
        "first": last, "last": last, "message": f"at {last:g}", "traceback": "", "handle": "H", "unique": None,
        "server": None, "attempt": 1, "worker": 7,
    }  # fmt: skip
    return group | other  # type: ignore[return-value]


def stall(name: str, last: float, seconds: float) -> StallGroup:
    return {
        "id": name, "function": "f", "place": "a.py:1 in f", "count": 1, "total_s": seconds, "longest_s": seconds,
        "first": last, "last": last, "stack": "", "handle": "H", "worker": 7,
    }  # fmt: skip


def test_a_new_store_is_empty() -> None:
    answer = FailureStore().answer()
    assert (answer["failures"], answer["stalls"]) == ([], [])
    assert answer["forgotten"] == {"failures": 0, "stalls": 0}


def test_failures_of_one_group_are_added_up_and_the_last_one_is_shown() -> None:
    store = FailureStore()
    store.add_failures([failure("a", 5.0, 2), failure("b", 6.0)])
    store.add_failures([failure("a", 7.0, 3, outcome="retried")])
    a, b = store.answer()["failures"]
    assert (a["id"], a["count"], a["first"], a["last"], a["message"]) == ("a", 5, 5.0, 7.0, "at 7")
    assert (a["outcome"], b["id"], store.changes) == ("retried", "b", 3)


def test_what_a_slow_worker_tells_late_does_not_replace_what_came_after_it() -> None:
    store = FailureStore()
    store.add_failures([failure("a", 9.0)])
    store.add_failures([failure("a", 2.0, outcome="retried")])
    (group,) = store.answer()["failures"]
    assert (group["count"], group["first"], group["last"], group["message"]) == (2, 2.0, 9.0, "at 9")
    assert group["outcome"] == "failed"


def test_the_group_that_was_not_seen_for_the_longest_time_is_forgotten_and_counted() -> None:
    store = FailureStore(max_groups=3)
    store.add_failures([failure("a", 1.0), failure("b", 2.0), failure("c", 3.0), failure("a", 4.0), failure("d", 5.0)])
    assert [group["id"] for group in store.answer()["failures"]] == ["d", "a", "c"]
    store.add_failures([], left_out=4)
    assert store.answer()["forgotten"] == {"failures": 5, "stalls": 0}
    assert store.changes == 6, "that is a change, too"


def test_stalls_have_their_sum_and_the_longest() -> None:
    store = FailureStore(max_groups=1)
    store.add_stalls([stall("a", 1.0, 0.5), stall("a", 2.0, 3.0), stall("a", 3.0, 1.0)])
    (group,) = store.answer()["stalls"]
    assert (group["count"], group["total_s"], group["longest_s"]) == (3, 4.5, 3.0)
    store.add_stalls([stall("b", 4.0, 1.0)], left_out=2)
    assert store.answer()["forgotten"] == {"failures": 0, "stalls": 3}


def test_an_answer_does_not_change_afterwards() -> None:
    store = FailureStore()
    store.add_failures([failure("a", 1.0)])
    before = store.answer()
    store.add_failures([failure("a", 2.0)])
    assert before["failures"][0]["count"] == 1


def test_an_answer_of_the_largest_groups_fits_into_one_line() -> None:
    store = FailureStore()
    wide = "\U0001f600" * (MAX_TRACE // 4)
    for number in range(MAX_GROUPS + 1):
        name, message = str(number), wide[:MAX_MESSAGE]
        store.add_failures([failure(name, number, traceback=wide, message=message, place=message)])
        store.add_stalls([stall(name, number, 1.0) | {"stack": wide, "place": message}])
    assert len(json_lines.encode(dict(store.answer()))) < json_lines.MAX_LINE
