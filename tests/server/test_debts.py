"""The memory that connections cost, and who is closed for it."""

from __future__ import annotations

from gearpool.server.debts import SMALL, Debts


def test_who_has_been_in_debt_longest_goes_first() -> None:
    debts: Debts[str] = Debts(10 * SMALL)
    debts.set("old", 2 * SMALL)
    debts.set("big", 8 * SMALL)
    assert debts.over() is None
    debts.set("new", SMALL)
    assert debts.over() == "old"
    debts.clear("old")
    assert debts.over() is None
    assert debts.total == 9 * SMALL


def test_a_debt_that_changes_keeps_its_age() -> None:
    debts: Debts[str] = Debts(SMALL)
    debts.set("a", SMALL)
    debts.set("b", SMALL)
    debts.set("a", 3 * SMALL)
    assert debts.over() == "a"
    assert debts.total == 4 * SMALL


def test_who_has_paid_begins_anew() -> None:
    debts: Debts[str] = Debts(SMALL)
    debts.set("a", 2 * SMALL)
    debts.set("b", 2 * SMALL)
    debts.set("a", SMALL - 1)
    assert "a" not in debts
    debts.set("a", 2 * SMALL)
    assert debts.over() == "b"


def test_small_debts_cost_nothing_to_track() -> None:
    debts: Debts[int] = Debts(0)
    for debtor in range(1000):
        debts.set(debtor, SMALL - 1)
    assert debts.total == 0
    assert debts.over() is None
    debts.clear(1)
    assert debts.total == 0
