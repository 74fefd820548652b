from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from gearpool.web import feed as module
from gearpool.web.feed import Feed, TooManyListenersError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    monkeypatch.setattr(module, "AT_MOST_EVERY_S", 0.0)


class Source:
    def __init__(self) -> None:
        self.made = 0
        self.value: dict[str, Any] = {"a": 1, "b": {"c": 1}}

    def __call__(self) -> dict[str, Any]:
        self.made += 1
        return json.loads(json.dumps(self.value))  # type: ignore[no-any-return]


def parsed(events: Iterator[bytes]) -> tuple[str, int, Any]:
    name, number, data, *rest = next(events).decode().split("\n")
    assert rest == ["", ""]
    return name.removeprefix("event: "), int(number.removeprefix("id: ")), json.loads(data.removeprefix("data: "))


def test_a_listener_gets_the_document_and_then_its_changes() -> None:
    source = Source()
    feed = Feed(source)
    events = feed.listen()
    assert parsed(events) == ("view", 0, source.value)
    source.value = {"a": 1, "b": {"c": 2}}
    changes: list[Any] = []
    while {"b": {"c": 2}} not in changes:
        name, _, patch = parsed(events)
        assert name == "change"
        changes.append(patch)
    assert parsed(events)[2] == {}
    feed.close()
    assert list(events) == []


def test_a_later_listener_begins_with_the_document_of_then() -> None:
    source = Source()
    feed = Feed(source)
    first = feed.listen()
    parsed(first)
    source.value = {"a": 2}
    while parsed(first)[2] != {"a": 2, "b": None}:
        pass
    second = feed.listen()
    name, number, document = parsed(second)
    assert (name, document) == ("view", {"a": 2})
    assert parsed(second) == ("change", number + 1, {})
    feed.close()


def test_without_a_listener_nothing_is_made() -> None:
    source = Source()
    feed = Feed(source)
    events = feed.listen()
    parsed(events)
    events.close()  # type: ignore[attr-defined]
    assert len(feed) == 0
    gevent.sleep(0.05)
    made = source.made
    feed.changed()
    gevent.sleep(0.05)
    assert source.made == made
    assert parsed(feed.listen())[0] == "view"


def test_a_listener_that_does_not_keep_up_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEHIND", 3)
    feed = Feed(Source())
    events = feed.listen()
    parsed(events)
    while len(feed):
        gevent.sleep(0.01)
    assert len(list(events)) <= 3


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTENERS", 1)
    feed = Feed(Source())
    events = feed.listen()
    with pytest.raises(TooManyListenersError):
        feed.listen()
    feed.close()
    assert list(events) == []
    assert parsed(feed.listen())[0] == "view"
    feed.close()
