from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gearpool.worker.slots import FunctionSlots, Slots


class Eater:
    """Wants as many slots as it can get when it is fed."""

    def __init__(self, slots: Slots, function: FunctionSlots, wanted: int = 10) -> None:
        self.slots = slots
        self.function_slots = function
        self.wanted = wanted
        self.got = 0

    def eat(self) -> int:
        granted = self.slots.reserve(self, self.wanted)
        self.got += granted
        return granted

    def feed(self) -> None:
        self.eat()


def test_no_more_is_granted_than_the_process_and_the_function_have() -> None:
    slots = Slots(10)
    small, large = FunctionSlots(3), FunctionSlots(100)
    assert Eater(slots, small).eat() == 3
    assert Eater(slots, large).eat() == 7
    assert slots.used == 10


def test_who_got_nothing_is_fed_when_slots_are_free() -> None:
    slots = Slots(2)
    first, second = Eater(slots, FunctionSlots(2)), Eater(slots, FunctionSlots(2))
    assert first.eat() == 2
    assert second.eat() == 0
    assert slots.release(first.function_slots, 2)
    slots.feed()
    assert second.got == 2
    assert not slots.hungry


def test_the_function_with_the_least_in_use_for_its_weight_is_fed_first() -> None:
    slots = Slots(4)
    busy, idle = FunctionSlots(4), FunctionSlots(4)
    holder = Eater(slots, busy, 4)
    holder.eat()
    more, other = Eater(slots, busy, 1), Eater(slots, idle, 1)
    more.eat()
    other.eat()
    slots.release(busy)
    slots.feed()
    assert (more.got, other.got) == (0, 1)


def test_free_slots_are_shared_by_weight_while_several_want_them() -> None:
    slots = Slots(12)
    blocker = FunctionSlots(12)
    Eater(slots, blocker, 12).eat()
    heavy, light = Eater(slots, FunctionSlots(12, 2.0), 12), Eater(slots, FunctionSlots(12, 1.0), 12)
    heavy.eat()
    light.eat()
    slots.release(blocker, 12)
    slots.feed()
    assert (heavy.got, light.got) == (8, 4)


def test_who_is_forgotten_is_not_fed() -> None:
    slots = Slots(1)
    first, gone = Eater(slots, FunctionSlots(1)), Eater(slots, FunctionSlots(1))
    first.eat()
    gone.eat()
    slots.forget(gone)
    assert not slots.release(first.function_slots)
    slots.feed()
    assert gone.got == 0


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0.5, 1.0, 3.0])), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 8), st.booleans()), max_size=60),
)
def test_whatever_happens_no_limit_is_passed_and_no_slot_is_lost(
    limit: int, functions: list[tuple[int, float]], steps: list[tuple[int, int, bool]]
) -> None:
    slots = Slots(limit)
    eaters = [Eater(slots, FunctionSlots(most, weight), 3) for most, weight in functions]
    for who, count, give in steps:
        eater = eaters[who % len(eaters)]
        if give:
            back = min(count, eater.got)
            eater.got -= back
            if back and slots.release(eater.function_slots, back):
                slots.feed()
        else:
            eater.wanted = count
            eater.eat()
        assert slots.used == sum(each.got for each in eaters) <= limit
        assert all(0 <= each.got == each.function_slots.used <= each.function_slots.limit for each in eaters)


def test_weights_that_nothing_can_compute_with_are_shares_all_the_same() -> None:
    """Two of the largest numbers there are add up to infinity, and a share of that is none."""
    slots = Slots(10)
    heavy, as_heavy, light = (FunctionSlots(10, weight) for weight in (1.7e308, 1.7e308, 5e-324))
    for waiting in (as_heavy, light):
        slots._hungry[Eater(slots, waiting)] = None
    assert Eater(slots, heavy).eat() == 4
    heavy.weigh(5e-324)
    slots.feed()
