"""Which server a job goes to."""

from __future__ import annotations

from collections import Counter

from gearpool.client.routing import COOL_DOWN_MOST_S, Health, rank

SERVERS = [f"10.0.0.{number}:4730" for number in range(1, 5)]
UNIQUES = [b"order-%d" % number for number in range(4000)]


def test_a_unique_id_always_goes_to_the_same_server_whatever_the_order_of_the_list() -> None:
    for unique in UNIQUES[:100]:
        assert rank(SERVERS, b"f", unique) == rank(SERVERS[::-1], b"f", unique)


def test_every_server_gets_its_share() -> None:
    shares = Counter(rank(SERVERS, b"f", unique)[0] for unique in UNIQUES)
    assert all(800 < shares[server] < 1200 for server in SERVERS)


def test_a_new_server_takes_only_its_share_and_nothing_else_moves() -> None:
    new = "10.0.0.5:4730"
    moved = 0
    for unique in UNIQUES:
        before, after = rank(SERVERS, b"f", unique)[0], rank([*SERVERS, new], b"f", unique)[0]
        assert after in (before, new)
        moved += after == new
    assert 600 < moved < 1000


def test_functions_are_spread_independently() -> None:
    assert {rank(SERVERS, b"f%d" % number, b"same")[0] for number in range(50)} == set(SERVERS)


def test_a_server_that_failed_is_tried_last_until_its_rest_is_over() -> None:
    now = [0.0]
    health = Health(SERVERS, clock=lambda: now[0])
    delay = health.failed(SERVERS[0], "refused")
    assert health.preferred(SERVERS) == [*SERVERS[1:], SERVERS[0]]
    now[0] = delay + 0.001
    assert health.preferred(SERVERS) == SERVERS


def test_rests_grow_up_to_a_limit_and_success_forgets_them() -> None:
    health = Health(SERVERS, clock=lambda: 0.0)
    delays = [health.failed(SERVERS[0], "refused") for _ in range(20)]
    assert max(delays) <= COOL_DOWN_MOST_S
    assert max(delays[10:]) > 2.0
    health.worked(SERVERS[0])
    assert not health.resting(SERVERS[0])
    assert SERVERS[0] not in health.reasons


def test_when_all_rest_all_are_still_offered() -> None:
    health = Health(SERVERS, clock=lambda: 0.0)
    for server in SERVERS:
        health.failed(server, "refused")
    assert health.preferred(SERVERS) == SERVERS
