"""How slots are reserved, released and shared."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gearpool.worker.admission import Admission, FunctionSlots


class Taker:
    """Takes as many slots as it can get."""

    def __init__(self, slots: Admission, function: FunctionSlots, wanted: int = 10) -> None:
        self.slots = slots
        self.function_slots = function
        self.wanted = wanted
        self.got = 0

    def take(self) -> int:
        granted = self.slots.reserve(self, self.wanted)
        self.got += granted
        return granted

    def on_slots(self) -> None:
        self.take()


def test_no_more_slots_are_granted_than_the_process_and_the_function_have() -> None:
    slots = Admission(10)
    small, large = FunctionSlots(3), FunctionSlots(100)
    assert Taker(slots, small).take() == 3
    assert Taker(slots, large).take() == 7
    assert slots.used == 10


def test_a_waiter_is_offered_released_slots_once_per_iteration_of_the_event_loop() -> None:
    slots = Admission(2)
    first, second = Taker(slots, FunctionSlots(2)), Taker(slots, FunctionSlots(2))
    assert first.take() == 2
    assert second.take() == 0
    scheduled: list[Callable[[], None]] = []
    slots.start(scheduled.append)
    slots.release(first.function_slots, 1)
    slots.release(first.function_slots, 1)
    assert scheduled == [slots.offer]
    slots.offer()
    assert second.got == 2
    slots.release(second.function_slots, 2)
    assert scheduled == [slots.offer], "there is no waiter any more"


def test_slots_are_offered_first_to_the_function_that_uses_the_fewest_for_its_weight() -> None:
    slots = Admission(4)
    busy, idle = FunctionSlots(4), FunctionSlots(4)
    holder = Taker(slots, busy, 4)
    holder.take()
    more, other = Taker(slots, busy, 1), Taker(slots, idle, 1)
    more.take()
    other.take()
    slots.release(busy)
    slots.offer()
    assert (more.got, other.got) == (0, 1)


def test_free_slots_are_shared_by_weight_among_the_waiters() -> None:
    slots = Admission(12)
    blocker = FunctionSlots(12)
    Taker(slots, blocker, 12).take()
    heavy, light = Taker(slots, FunctionSlots(12, 2.0), 12), Taker(slots, FunctionSlots(12, 1.0), 12)
    heavy.take()
    light.take()
    slots.release(blocker, 12)
    slots.offer()
    assert (heavy.got, light.got) == (8, 4)


def test_a_forgotten_waiter_is_not_offered_slots() -> None:
    slots = Admission(1)
    first, gone = Taker(slots, FunctionSlots(1)), Taker(slots, FunctionSlots(1))
    first.take()
    gone.take()
    slots.forget(gone)
    slots.release(first.function_slots)
    slots.offer()
    assert gone.got == 0


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0.5, 1.0, 3.0])), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 8), st.booleans()), max_size=60),
)
def test_no_limit_is_exceeded_and_no_slot_is_lost_under_any_sequence(
    limit: int, functions: list[tuple[int, float]], steps: list[tuple[int, int, bool]]
) -> None:
    slots = Admission(limit)
    takers = [Taker(slots, FunctionSlots(function_limit, weight), 3) for function_limit, weight in functions]
    for which, count, give in steps:
        taker = takers[which % len(takers)]
        if give:
            back = min(count, taker.got)
            taker.got -= back
            if back:
                slots.release(taker.function_slots, back)
                slots.offer()
        else:
            taker.wanted = count
            taker.take()
        assert slots.used == sum(each.got for each in takers) <= limit
        assert all(0 <= each.got == each.function_slots.used <= each.function_slots.limit for each in takers)


def test_extreme_weights_are_clamped() -> None:
    """The sum of two of the largest floats is infinite, and a share of that would be zero."""
    slots = Admission(10)
    heavy, as_heavy, light = (FunctionSlots(10, weight) for weight in (1.7e308, 1.7e308, 5e-324))
    full = Taker(slots, FunctionSlots(10))
    full.take()
    for waiting in (as_heavy, light):
        assert Taker(slots, waiting).take() == 0
    slots.release(full.function_slots, 10)
    assert Taker(slots, heavy).take() == 4
    heavy.set_weight(5e-324)
    slots.offer()
