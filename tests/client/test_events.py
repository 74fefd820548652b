"""Events that nobody has read yet: in order, bounded, and what is missing is told."""

from __future__ import annotations

import pytest

from gearpool.client import Data, Progress, Warned
from gearpool.client.events import EVENT_SIZE, UnreadEvents
from gearpool.errors import EventsDropped


def test_events_come_out_in_the_order_in_which_they_came() -> None:
    events = UnreadEvents()
    for event in (Data(b"a"), Progress(1, 2), Warned(b"w")):
        events.put(event)
    assert [events.popleft() for _ in range(3)] == [Data(b"a"), Progress(1, 2), Warned(b"w")]
    assert not events
    with pytest.raises(IndexError):
        events.popleft()


def test_of_statuses_in_a_row_the_last_is_kept() -> None:
    events = UnreadEvents(limit=EVENT_SIZE)
    for number in range(1000):
        events.put(Progress(number, 1000))
    assert events.popleft() == Progress(999, 1000)
    assert not events


def test_beyond_the_limit_events_are_dropped_and_the_reader_is_told_where() -> None:
    events = UnreadEvents(limit=2 * (EVENT_SIZE + 1))
    for data in (b"a", b"b", b"c", b"d"):
        events.put(Data(data))
    assert events.popleft() == Data(b"a")
    events.put(Data(b"e"))  # there is room, but it comes after the gap
    assert events.popleft() == Data(b"b")
    assert events
    with pytest.raises(EventsDropped) as raised:
        events.popleft()
    assert (raised.value.dropped, raised.value.limit) == (3, events.limit)
    assert not events
    events.put(Data(b"f"))
    assert events.popleft() == Data(b"f")


def test_events_without_data_are_bounded_too() -> None:
    events = UnreadEvents(limit=100 * EVENT_SIZE)
    for _ in range(1000):
        events.put(Warned(b""))
    assert len(events._queue) == 100
