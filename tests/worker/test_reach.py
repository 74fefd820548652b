from __future__ import annotations

import gevent
from gevent.event import Event

from gearpool.settings import ReconnectSettings
from gearpool.worker.reach import SEEN_WITHIN_S, Reach

AT_ONCE = ReconnectSettings(delay_s=1e-9, max_delay_s=1e-9)
"""Who may enter does so in the loop's next pass."""


def test_while_the_server_is_hoped_to_be_there_everybody_may_try() -> None:
    reach = Reach(AT_ONCE)
    for lane in range(3):
        reach.enter(lane, Event())


def test_of_many_lanes_one_looks_for_a_lost_server_and_all_follow_when_it_is_back() -> None:
    reach = Reach(AT_ONCE)
    reach.lost("first")
    entered: list[int] = []

    def lane(number: int) -> None:
        reach.enter(number, Event())
        entered.append(number)

    def settled(count: int) -> int:
        """How many have entered, once so many have and all others that could have had their turn."""
        with gevent.Timeout(10):
            while len(entered) < count:
                gevent.sleep(0.005)
        for _ in range(5):
            gevent.idle()
        return len(entered)

    lanes = [gevent.spawn(lane, number) for number in range(5)]
    assert settled(1) == 1
    reach.lost(entered[0])
    assert settled(2) == 2
    reach.reached(entered[1])
    gevent.joinall(lanes, timeout=10, raise_error=True)
    assert sorted(entered) == [0, 1, 2, 3, 4]


def test_a_scout_that_is_stopped_leaves_its_place_to_another() -> None:
    reach = Reach(AT_ONCE)
    reach.lost("first")
    reach.enter("scout", Event())
    other = gevent.spawn(reach.enter, "other", Event())
    for _ in range(5):
        gevent.idle()
    assert not other.ready()
    reach.leave("scout")
    other.get(timeout=10)


def test_a_lane_that_is_stopped_waits_no_longer() -> None:
    reach = Reach(ReconnectSettings(delay_s=3600.0, max_delay_s=3600.0))
    reach.lost("first")
    stopping = Event()
    lane = gevent.spawn(reach.enter, "lane", stopping)
    gevent.sleep(0)
    stopping.set()
    lane.get(timeout=10)


def test_a_server_that_has_been_away_for_long_is_tried_again_within_seconds() -> None:
    reach = Reach(ReconnectSettings())
    delays = [reach.lost("lane")]
    for _ in range(50):
        reach._scout = "lane"
        delays.append(reach.lost("lane"))
    assert max(delays) <= SEEN_WITHIN_S


def test_a_server_that_takes_connections_only_to_break_them_is_tried_more_and_more_slowly() -> None:
    reach = Reach(ReconnectSettings(delay_s=0.5, max_delay_s=30.0))

    def delays(*, was_steady: bool) -> list[float]:
        waits = []
        for _ in range(20):
            reach.reached("lane")
            waits.append(reach.lost("lane", was_steady=was_steady))
        return waits

    assert 0.5 < max(delays(was_steady=False)) <= SEEN_WITHIN_S
    assert max(delays(was_steady=True)) <= 0.5
