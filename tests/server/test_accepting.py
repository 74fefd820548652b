"""Taking in connections within the limit of file descriptors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from gearpool.server.accepting import Acceptor


class Guest:
    def __init__(self, house: House, heard_in: int, *, idle: bool = True) -> None:
        self._house = house
        self.heard_in = heard_in
        self.idle = idle

    def close(self, reason: str) -> None:
        assert reason
        self._house.guests.remove(self)


class Listener:
    """Accepts as often as it is told, or raises."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)

    def accept(self) -> Any:
        result = self.results.pop(0) if self.results else BlockingIOError()
        if isinstance(result, Exception):
            raise result
        return result, ("192.0.2.1", 1)

    def fileno(self) -> int:
        return 3


class Newcomer:
    closed = False

    def close(self) -> None:
        self.closed = True


class Watcher:
    def __init__(self) -> None:
        self.running = True

    def start(self, callback: Any, *arguments: Any) -> None:
        self.callback, self.arguments = callback, arguments
        self.running = True

    def stop(self) -> None:
        self.running = False


class House:
    """A loop with one watcher, and the connections."""

    def __init__(self, max_connections: int) -> None:
        self.guests: list[Guest] = []
        self.said: list[str] = []
        self.watcher = Watcher()
        self.acceptor = Acceptor(self, lambda: self.guests, self.serve, self.report, max_connections)

    def io(self, _fd: int, _events: int) -> Watcher:
        return self.watcher

    def serve(self, _sock: object, _address: str) -> None:
        self.guests.append(Guest(self, 1_000_000))

    def report(self, _level: int, event: str, message: str) -> None:
        self.said.append(f"{event}: {message}")

    def ready(self, *results: Any) -> None:
        self.acceptor.start([Listener(*results)])
        self.watcher.callback(*self.watcher.arguments)


def test_for_a_newcomer_the_longest_silent_idle_connection_is_closed() -> None:
    house = House(3)
    busy, silent, heard = Guest(house, 1, idle=False), Guest(house, 2), Guest(house, 3)
    house.guests = [heard, busy, silent]
    house.ready(Newcomer())
    assert house.guests[:2] == [heard, busy]
    assert len(house.guests) == 3


def test_a_newcomer_is_closed_at_once_when_every_connection_has_a_part_in_a_job() -> None:
    house = House(2)
    house.guests = [Guest(house, 1, idle=False), Guest(house, 2, idle=False)]
    newcomers = [Newcomer(), Newcomer()]
    house.ready(*newcomers)
    assert [each.closed for each in newcomers] == [True, True]
    assert len(house.guests) == 2
    assert house.watcher.running, "it goes on accepting"
    assert "refused a connection" in house.said[0]
    assert "limit of file descriptors" in house.said[0]


def test_one_look_for_idle_connections_is_enough_for_all_who_come_at_once() -> None:
    house = House(200)
    house.guests = [Guest(house, number, idle=False) for number in range(200)]
    looks = []

    class Watched(list[Guest]):
        def __iter__(self) -> Iterator[Guest]:
            looks.append(1)
            return super().__iter__()

    house.guests = Watched(house.guests)
    newcomers = [Newcomer() for _ in range(64)]
    house.ready(*newcomers)
    assert all(each.closed for each in newcomers)
    assert len(looks) == 1


def test_out_of_descriptors_idle_connections_are_closed_and_nobody_waits() -> None:
    house = House(100)
    house.guests = [Guest(house, number) for number in range(10)]
    house.ready(OSError(errno.EMFILE, "Too many open files"), Newcomer())
    assert len(house.guests) < 11
    assert house.watcher.running
    assert house.said == []


def test_out_of_descriptors_with_nobody_to_close_it_does_not_spin() -> None:
    house = House(100)
    house.ready(OSError(errno.EMFILE, "Too many open files"))
    assert not house.watcher.running
    assert "Too many open files" in house.said[0]


def test_a_connection_that_ended_before_it_was_accepted_is_passed_over() -> None:
    house = House(100)
    house.ready(ConnectionAbortedError(), Newcomer())
    assert len(house.guests) == 1


def test_at_most_64_are_accepted_at_once() -> None:
    house = House(1000)
    house.ready(*[Newcomer() for _ in range(100)])
    assert len(house.guests) == 64


def test_the_limit_of_file_descriptors_is_the_limit_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (42, 42))
    house = House(0)
    house.ready(*[Newcomer() for _ in range(20)])
    assert len(house.guests) == 10, "32 are kept for the rest of the process"
