"""The memory that connections cost, and who is closed for it."""

from __future__ import annotations

from gearpool.server.memory_use import SMALL, MemoryUse


def test_the_connection_counted_longest_is_closed_first() -> None:
    memory_use: MemoryUse[str] = MemoryUse(10 * SMALL)
    memory_use.set("old", 2 * SMALL)
    memory_use.set("big", 8 * SMALL)
    assert memory_use.over() is None
    memory_use.set("new", SMALL)
    assert memory_use.over() == "old"
    memory_use.clear("old")
    assert memory_use.over() is None
    assert memory_use.total == 9 * SMALL


def test_a_change_of_size_keeps_the_order() -> None:
    memory_use: MemoryUse[str] = MemoryUse(SMALL)
    memory_use.set("a", SMALL)
    memory_use.set("b", SMALL)
    memory_use.set("a", 3 * SMALL)
    assert memory_use.over() == "a"
    assert memory_use.total == 4 * SMALL


def test_a_connection_that_was_below_the_limit_is_counted_afresh() -> None:
    memory_use: MemoryUse[str] = MemoryUse(SMALL)
    memory_use.set("a", 2 * SMALL)
    memory_use.set("b", 2 * SMALL)
    memory_use.set("a", SMALL - 1)
    assert "a" not in memory_use
    memory_use.set("a", 2 * SMALL)
    assert memory_use.over() == "b"


def test_small_sizes_are_not_counted() -> None:
    memory_use: MemoryUse[int] = MemoryUse(0)
    for owner in range(1000):
        memory_use.set(owner, SMALL - 1)
    assert memory_use.total == 0
    assert memory_use.over() is None
    memory_use.clear(1)
    assert memory_use.total == 0
