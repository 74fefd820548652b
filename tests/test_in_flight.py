from __future__ import annotations

import pytest

from gearpool import in_flight
from gearpool.in_flight import Row, Table

BASE = 64


@pytest.fixture
def memory() -> bytearray:
    return bytearray(BASE + in_flight.SIZE)


def read(memory: bytearray) -> list[Row]:
    """As another process sees it."""
    return Table(memory, BASE).rows()


def test_what_is_in_flight_is_seen_by_who_has_only_the_memory(memory: bytearray) -> None:
    table = Table(memory, BASE)
    first = table.add(1, b"H:1", b"")
    table.add(2, b"H:2", b"unique", thread=2**63)
    assert read(memory) == [Row(1, 0, b"H:1", b""), Row(2, 2**63, b"H:2", b"unique")]
    table.remove(first)
    assert read(memory) == [Row(2, 2**63, b"H:2", b"unique")]


def test_a_row_that_is_free_is_taken_again_before_a_new_one(memory: bytearray) -> None:
    table = Table(memory, BASE)
    rows = [table.add(1, b"", b"") for _ in range(3)]
    table.remove(rows[1])
    assert table.add(1, b"", b"") == rows[1]


def test_a_table_that_is_full_shows_no_more_and_goes_on(memory: bytearray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "CAPACITY", 2)
    table = Table(memory, BASE)
    rows = [table.add(number, b"", b"") for number in (1, 2, 3)]
    assert rows[2] == 0
    table.remove(rows[2])
    table.remove(rows[0])
    assert table.add(4, b"", b"") == rows[0]
    assert [row.tag for row in read(memory)] == [4, 2]


def test_the_whole_capacity_fits(memory: bytearray) -> None:
    table = Table(memory, BASE)
    for number in range(in_flight.CAPACITY):
        assert table.add(number + 1, b"h" * 64, b"u" * 64)
    assert table.add(1, b"", b"") == 0
    assert read(memory)[-1] == Row(in_flight.CAPACITY, 0, b"h" * 63, b"u" * 63)
