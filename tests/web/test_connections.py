from __future__ import annotations

from gearpool.web.connections import Connections


class Peers:
    def __init__(self, limit: int) -> None:
        self.connections = Connections(limit)
        self.closed: list[str] = []

    def add(self, name: str) -> bool:
        return self.connections.add(name, lambda: self.closed.append(name))


def test_at_the_limit_the_one_that_waited_longest_makes_room() -> None:
    peers = Peers(2)
    assert peers.add("a")
    assert peers.add("b")
    assert peers.add("c")
    assert peers.closed == ["a"]
    assert len(peers.connections) == 2
    assert not peers.connections.serve("a")


def test_a_request_that_is_served_is_not_given_up() -> None:
    peers = Peers(2)
    peers.add("a")
    peers.add("b")
    assert peers.connections.serve("a")
    assert peers.add("c")
    assert peers.closed == ["b"]
    assert peers.connections.serve("c")
    assert not peers.add("d")
    assert peers.connections.serving == 2


def test_after_its_request_a_connection_waits_behind_the_others() -> None:
    peers = Peers(2)
    peers.add("a")
    peers.add("b")
    peers.connections.serve("a")
    peers.connections.wait("a")
    peers.add("c")
    assert peers.closed == ["b"]


def test_a_closed_connection_gives_its_place_back() -> None:
    peers = Peers(1)
    peers.add("a")
    peers.connections.remove("a")
    assert peers.add("b")
    peers.connections.serve("b")
    peers.connections.remove("b")
    peers.connections.wait("b")
    assert len(peers.connections) == 0


def test_all_that_wait_are_closed_at_the_end() -> None:
    peers = Peers(3)
    for name in "abc":
        peers.add(name)
    peers.connections.serve("b")
    peers.connections.close_waiting()
    assert peers.closed == ["a", "c"]
    assert len(peers.connections) == 1
