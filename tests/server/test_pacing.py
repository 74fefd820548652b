"""How a pass of the event loop is divided among connections."""

from __future__ import annotations

import pytest

from gearpool.server.pacing import MAX_READ, MAX_WORK, MIN_READ, MIN_WORK, PASS_BYTES, PASS_WORK, Pacing


def greedy_pass(pacing: Pacing, connections: int) -> tuple[int, int]:
    """Every connection takes all that it is given; the work and the bytes of the pass."""
    work = size = 0
    for _ in range(connections):
        mine, read = pacing.work, pacing.read_bytes
        pacing.served(mine, read)
        work += mine
        size += read
    pacing.next_pass()
    return work, size


def test_one_busy_connection_has_the_largest_share() -> None:
    pacing = Pacing()
    for _ in range(3):
        assert greedy_pass(pacing, 1) == (MAX_WORK, MAX_READ)


@pytest.mark.parametrize("connections", [1, 5, 10, 100, 1000])
def test_a_pass_is_bounded_however_many_are_busy_even_the_first(connections: int) -> None:
    pacing = Pacing()
    for _ in range(4):
        work, size = greedy_pass(pacing, connections)
        assert work <= PASS_WORK + connections * MIN_WORK
        assert size <= PASS_BYTES + connections * MIN_READ


def test_after_a_pass_with_many_the_shares_are_equal() -> None:
    pacing = Pacing()
    greedy_pass(pacing, 50)
    shares = []
    for _ in range(50):
        shares.append(pacing.work)
        pacing.served(pacing.work, 0)
    # The last ones may get less, where rounding or the floor leave nothing.
    assert set(shares[:40]) == {PASS_WORK // 50}


def test_shares_grow_again_when_it_is_quiet() -> None:
    pacing = Pacing()
    greedy_pass(pacing, 1000)
    assert pacing.work == MIN_WORK
    greedy_pass(pacing, 1)
    assert pacing.work == MAX_WORK


def test_passes_are_counted() -> None:
    pacing = Pacing()
    pacing.next_pass()
    pacing.next_pass()
    assert pacing.passes == 2
