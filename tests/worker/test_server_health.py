"""Which lanes may connect while a server is down."""

from __future__ import annotations

import gevent
from gevent.event import Event

from gearpool.settings import ReconnectSettings
from gearpool.worker.server_health import MAX_PROBE_DELAY_S, ServerHealth

AT_ONCE = ReconnectSettings(delay_s=1e-9, max_delay_s=1e-9)
"""No noticeable delay between probes."""


def test_all_lanes_may_connect_while_the_server_is_up() -> None:
    health = ServerHealth(AT_ONCE)
    for lane in range(3):
        health.enter(lane, Event())


def test_one_lane_probes_a_lost_server_and_all_connect_when_it_is_back() -> None:
    health = ServerHealth(AT_ONCE)
    health.lost("first")
    entered: list[int] = []

    def lane(number: int) -> None:
        health.enter(number, Event())
        entered.append(number)

    def entered_at_least(count: int) -> int:
        """How many lanes have entered, once at least ``count`` have and all others had the chance to."""
        with gevent.Timeout(10):
            while len(entered) < count:
                gevent.sleep(0.005)
        for _ in range(5):
            gevent.idle()
        return len(entered)

    lanes = [gevent.spawn(lane, number) for number in range(5)]
    assert entered_at_least(1) == 1
    health.lost(entered[0])
    assert entered_at_least(2) == 2
    health.reached(entered[1])
    gevent.joinall(lanes, timeout=10, raise_error=True)
    assert sorted(entered) == [0, 1, 2, 3, 4]


def test_another_lane_probes_when_the_probing_one_is_stopped() -> None:
    health = ServerHealth(AT_ONCE)
    health.lost("first")
    health.enter("prober", Event())
    other = gevent.spawn(health.enter, "other", Event())
    for _ in range(5):
        gevent.idle()
    assert not other.ready()
    health.leave("prober")
    other.get(timeout=10)


def test_a_stopped_lane_stops_waiting() -> None:
    health = ServerHealth(ReconnectSettings(delay_s=3600.0, max_delay_s=3600.0))
    health.lost("first")
    stopping = Event()
    lane = gevent.spawn(health.enter, "lane", stopping)
    gevent.sleep(0)
    stopping.set()
    lane.get(timeout=10)


def test_a_server_that_has_been_down_for_long_is_still_probed_every_few_seconds() -> None:
    health = ServerHealth(ReconnectSettings())
    delays = [health.lost("lane")]
    for _ in range(50):
        health.reached("lane")
        delays.append(health.lost("lane"))
    assert max(delays) <= MAX_PROBE_DELAY_S


def test_the_back_off_grows_for_a_server_that_drops_connections_right_after_accepting_them() -> None:
    health = ServerHealth(ReconnectSettings(delay_s=0.5, max_delay_s=30.0))

    def delays(*, was_stable: bool) -> list[float]:
        waits = []
        for _ in range(20):
            health.reached("lane")
            waits.append(health.lost("lane", was_stable=was_stable))
        return waits

    assert 0.5 < max(delays(was_stable=False)) <= MAX_PROBE_DELAY_S
    assert max(delays(was_stable=True)) <= 0.5
