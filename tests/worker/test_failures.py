"""Failures and stalls of one process, grouped until they are sent."""

from __future__ import annotations

import gc
import re
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.messages import Failures as Sent
from gearpool.places import Frame
from gearpool.worker.failures import MAX_KNOWN, MAX_PENDING, Failures
from tests.worker.plain import Owed


class Group:
    """Failures that count how often something new is to be sent at once."""

    def __init__(self) -> None:
        self.owed = Owed()
        self.failures = Failures()
        self.new = 0
        self.failures.on_new = self.note

    def note(self) -> None:
        self.new += 1

    def fail(self, message: str = "bad", handle: bytes = b"H:1", error: BaseException | None = None) -> None:
        try:
            raise error or ValueError(message)
        except BaseException as raised:
            self.failures.failed(self.owed.function, self.owed.job(handle, b"u"), "failed", raised)

    def take(self) -> Sent:
        taken = self.failures.take()
        assert taken is not None
        return taken


@pytest.fixture
def group() -> Group:
    return Group()


def test_failures_of_one_class_at_one_place_are_one_group_with_the_details_of_the_last(group: Group) -> None:
    group.fail("first")
    group.fail("second", b"H:2")
    (failure,) = group.take().failures
    assert (failure["function"], failure["exception"], failure["count"]) == ("work", "ValueError", 2)
    assert re.search(r"worker/test_failures\.py:\d+ in Group\.fail$", failure["place"])
    assert (failure["message"], failure["handle"], failure["unique"]) == ("second", "H:2", "u")
    assert (failure["server"], failure["attempt"], failure["outcome"]) == ("server:4730", 1, "failed")
    assert failure["traceback"].startswith("Traceback (most recent call last):")
    assert failure["traceback"].endswith("ValueError: second")
    assert failure["first"] <= failure["last"]
    assert group.failures.take() is None


def test_only_the_first_of_a_group_is_sent_at_once(group: Group) -> None:
    for _ in range(3):
        group.fail()
        group.take()
    assert group.new == 1
    group.fail(error=KeyError("other"))
    assert group.new == 2


def test_a_payload_is_nowhere_and_nothing_is_kept_alive(group: Group) -> None:
    class Thing:
        pass

    def handler(argument: bytes, _thing: Any) -> None:
        raise ValueError(len(argument))

    def run(payload: bytes) -> weakref.ref[Thing]:
        thing = Thing()
        try:
            handler(payload, thing)
        except ValueError as error:
            group.failures.failed(group.owed.function, group.owed.job(), "failed", error)
        return weakref.ref(thing)

    kept = run(b"secret " * 2)
    gc.collect()
    assert kept() is None
    (failure,) = group.take().failures
    assert "secret secret" not in failure["traceback"]


def test_what_is_beyond_the_bounds_is_counted(group: Group) -> None:
    for number in range(MAX_PENDING + 7):
        group.fail(error=type(f"Error{number}", (Exception,), {})())
    for number in range(MAX_PENDING + 3):
        group.failures.stalled(None, None, (Frame("/a.py", number, "f"),), 1.0)
    taken = group.take()
    assert (len(taken.failures), len(taken.stalls), taken.left_out) == (MAX_PENDING, MAX_PENDING, [7, 3])


def test_the_memory_of_what_was_sent_is_bounded(group: Group) -> None:
    for number in range(MAX_KNOWN + 10):
        group.fail(error=type(f"Error{number}", (Exception,), {})())
        group.failures.take()
    assert group.new == MAX_KNOWN + 10
    assert len(group.failures._known) == 10


def test_without_a_supervisor_nothing_is_recorded(group: Group) -> None:
    group.failures.on_new = None
    group.fail()
    group.failures.refused(group.owed.function, group.owed.job(), "poisoned", "poisoned job", "why")
    group.failures.stalled(group.owed.function, "H", (), 1.0)
    assert group.failures.take() is None


def test_an_error_that_was_raised_nowhere_is_where_its_handler_still_runs(group: Group) -> None:
    code = SimpleNamespace(co_filename="/srv/shop.py", co_qualname="handler")
    greenlet = SimpleNamespace(gr_frame=SimpleNamespace(f_code=code, f_lineno=7, f_back=None))
    group.failures.failed(group.owed.function, group.owed.job(), "timeout", TimeoutError(), greenlet)
    (failure,) = group.take().failures
    assert failure["place"] == "/srv/shop.py:7 in handler"


def test_a_job_that_was_not_run_has_no_place(group: Group) -> None:
    group.failures.refused(group.owed.function, group.owed.job(), "poisoned", "poisoned job", "it died 3 times")
    (failure,) = group.take().failures
    assert (failure["exception"], failure["place"], failure["message"], failure["traceback"]) == (
        "poisoned job", "", "it died 3 times", "",
    )  # fmt: skip


def test_stalls_at_one_place_are_added_up(group: Group) -> None:
    frames = (Frame("/srv/shop.py", 7, "handler"), Frame("/srv/shop.py", 9, "inner"))
    group.failures.stalled(group.owed.function, "H:1", frames, 0.5)
    group.failures.stalled(group.owed.function, "H:2", frames, 2.0)
    (stall,) = group.take().stalls
    assert (stall["function"], stall["place"], stall["count"]) == ("work", "/srv/shop.py:9 in inner", 2)
    assert (stall["total_s"], stall["longest_s"], stall["handle"]) == (2.5, 2.0, "H:2")
    assert stall["stack"].splitlines()[0] == '  File "/srv/shop.py", line 7, in handler'
    assert group.new == 1
