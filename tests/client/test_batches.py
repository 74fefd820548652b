"""Items turned into submissions: what was made before an error is not lost, and the error says where it happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gearpool.client.batches import CHUNK, Batches, check_window
from gearpool.errors import GearpoolError, InvalidArgument, NoServersAvailable


def maker() -> Callable[[object], str]:
    def make(item: object) -> str:
        if item == "bad":
            raise InvalidArgument("the payload is bad")
        return f"job {item}"

    return make


def all_of(batches: Batches[Any, Any], most: int = 1000) -> list[Any]:
    made: list[Any] = []
    while batch := batches.next(most):
        made += batch
    return made


def test_items_are_taken_as_they_are_asked_for() -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(1)
            yield len(taken)

    batches = Batches(endless(), maker)
    assert batches.next(2) == ["job 1", "job 2"]
    assert len(taken) == 2
    assert len(batches.next(10_000)) == CHUNK
    assert batches.taken == CHUNK + 2
    assert not batches.exhausted


def test_a_bad_item_ends_the_batches_after_those_before_it() -> None:
    batches = Batches([*range(900), "bad", 901], maker)
    assert len(all_of(batches)) == 900
    assert isinstance(batches.failure, InvalidArgument)
    assert batches.failure.index == 900
    assert str(batches.failure) == "item 900: the payload is bad"
    assert batches.next(10) == []


def test_an_error_of_the_iterable_is_kept_with_its_place() -> None:
    def source() -> Iterator[int]:
        yield from range(300)
        raise ValueError("mine")

    batches = Batches(source(), maker)
    assert len(all_of(batches)) == 300
    assert isinstance(batches.failure, ValueError)
    assert batches.failure.__notes__ == ["at item 300 of the items to be submitted"]


def test_an_error_of_gearpools_names_its_index() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise NoServersAvailable({})

    batches = Batches(source(), maker)
    all_of(batches)
    assert isinstance(batches.failure, NoServersAvailable)
    assert batches.failure.index == 1


def test_where_bad_items_have_a_place_the_others_go_on() -> None:
    def refused(error: GearpoolError) -> str:
        return f"refused {error.index}"

    assert all_of(Batches([0, "bad", 2, "bad"], maker, refused)) == ["job 0", "refused 1", "job 2", "refused 3"]


@pytest.mark.parametrize("items", ["abc", b"abc", bytearray(b"abc")])
def test_one_payload_is_no_collection_of_payloads(items: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"write \[item\]"):
        Batches(items, maker)


@pytest.mark.parametrize("window", [0, -1, "5", 2.5, True, None])
def test_a_window_is_a_number_of_at_least_one(window: Any) -> None:
    with pytest.raises(InvalidArgument):
        check_window(window)
