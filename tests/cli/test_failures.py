"""What `gearpool failures` makes of the daemon's answer."""

from __future__ import annotations

from typing import Any

import pytest

from gearpool.cli import failures
from gearpool.errors import GearpoolError

NOW = 1_800_000_000.0


def failure(**changes: Any) -> dict[str, Any]:
    plain = {
        "id": "3f9c1d2a", "function": "thumbnail", "exception": "requests.exceptions.ConnectionError",
        "place": "shop/images.py:41 in thumbnail", "outcome": "retried", "count": 12, "first": NOW - 600,
        "last": NOW - 3, "message": "refused", "traceback": "Traceback (most recent call last):\nConnectionError: refused",
        "handle": "H:x:1", "unique": None, "server": "s:4730", "attempt": 2, "worker": 11,
    }  # fmt: skip
    return {**plain, **changes}


def stall(**changes: Any) -> dict[str, Any]:
    plain = {
        "id": "77777777", "function": "resize", "place": "shop/images.py:9 in loop", "count": 2, "total_s": 3.5,
        "longest_s": 3.0, "first": NOW - 60, "last": NOW - 30, "stack": '  File "shop/images.py", line 9', "handle": "H:x:2",
        "worker": 12,
    }  # fmt: skip
    return {**plain, **changes}


def answer(*, forgotten: int = 0, **changes: Any) -> dict[str, Any]:
    plain = {"failures": [failure()], "stalls": [stall()], "forgotten": {"failures": forgotten, "stalls": 0}}
    return {**plain, **changes}


def test_a_row_says_function_exception_place_count_and_last() -> None:
    head, row = failures.as_text(answer(), "failures", NOW).split("\n")
    assert head.split() == ["FUNCTION", "EXCEPTION", "PLACE", "COUNT", "LAST", "ID"]
    assert row.split() == [
        "thumbnail", "requests.exceptions.ConnectionError", "shop/images.py:41", "in", "thumbnail", "12", "3s", "3f9c1d2a",
    ]  # fmt: skip


def test_a_stall_has_its_longest_time() -> None:
    row = failures.as_text(answer(), "stalls", NOW).split("\n")[1].split()
    assert row == ["resize", "shop/images.py:9", "in", "loop", "2", "3s", "30s", "77777777"]


def test_a_table_fits_its_screen_without_cutting_the_id() -> None:
    lines = failures.as_text(answer(), "failures", NOW, 80).split("\n")
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].endswith("12    3s  3f9c1d2a")


def test_nothing_and_what_was_forgotten_are_said() -> None:
    assert failures.as_text(answer(failures=[], stalls=[]), "stalls", NOW) == "no stalls"
    assert failures.as_text(answer(forgotten=1), "failures", NOW).endswith("1 more group not seen for a long time")


def test_only_one_function_is_shown_if_asked() -> None:
    only = failures.chosen(answer(failures=[failure(), failure(function="mail")]), "mail")
    assert [each["function"] for each in only["failures"]] == ["mail"]
    assert only["stalls"] == []
    assert failures.chosen(answer(), None) == answer()


def test_a_group_is_found_by_the_beginning_of_its_id() -> None:
    assert failures.group_of(answer(), "3f9")["function"] == "thumbnail"
    assert failures.group_of(answer(), "77777777")["function"] == "resize"
    with pytest.raises(GearpoolError, match="there is no failure or stall with the id 'x'"):
        failures.group_of(answer(), "x")
    with pytest.raises(GearpoolError, match="several"):
        failures.group_of(answer(failures=[failure(), failure(id="3f9aaaaa")]), "3f9")


def test_details_have_message_traceback_and_the_last_job() -> None:
    text = failures.details(failure(), NOW)
    assert text.startswith(
        "thumbnail: requests.exceptions.ConnectionError at shop/images.py:41 in thumbnail\n12 times since"
    )
    assert "last 3s ago: retried\nhandle H:x:1, server s:4730, attempt 2, worker 11\n\nTraceback" in text
    assert text.endswith("ConnectionError: refused")
    assert failures.details(failure(traceback="", place=""), NOW).endswith("\n\nrefused")


def test_details_of_a_stall_have_its_stack() -> None:
    text = failures.details(stall(function=""), NOW)
    assert text.startswith("(no job): blocked at shop/images.py:9 in loop\n2 times since")
    assert "3.5s in all, 3s at most" in text
    assert text.endswith('File "shop/images.py", line 9')


def test_the_last_groups_of_the_last_minutes_are_lines_for_the_status() -> None:
    old = failure(last=NOW - 301)
    lines = list(failures.recent(answer(failures=[failure(), failure(place=""), failure(), old]), NOW, 2))
    assert lines == [
        "thumbnail: requests.exceptions.ConnectionError at shop/images.py:41 in thumbnail, 12 times, last 3s ago",
        "thumbnail: requests.exceptions.ConnectionError, 12 times, last 3s ago",
        "1 more: gearpool failures",
        "resize: blocked at shop/images.py:9 in loop, 2 times, 3s at most, last 30s ago",
    ]
