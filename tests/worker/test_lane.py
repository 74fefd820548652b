"""One function on one server: connecting, reconnecting, draining."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from gearpool.net.addresses import parse_server
from gearpool.settings import ReconnectSettings
from gearpool.testing.servers import job_server
from gearpool.worker.lane import Lane
from gearpool.worker.server_health import ServerHealth
from gearpool.worker.server_log import ServerLog
from tests.processes import free_port
from tests.worker.plain import until
from tests.worker.serving import function


class Session:
    """A session that ends when the test says so."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.changed = Event()
        self.started = self.closed = self.draining = False
        self.reason = ""

    def start(self) -> None:
        self.started = True

    def drain(self) -> None:
        self.draining = True
        self.changed.set()

    def close(self, reason: str) -> None:
        self.closed = True
        self.reason = reason
        self.stream.close()
        self.changed.set()


class Sessions(list[Session]):
    """The sessions that a lane has opened."""

    def __call__(self, stream: Any) -> Any:
        self.append(Session(stream))
        return self[-1]


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def open_lane(sessions: Sessions) -> Iterator[Callable[[str], Lane]]:
    lanes: list[Lane] = []

    def open_it(address: str) -> Lane:
        health = ServerHealth(ReconnectSettings(delay_s=0.01, max_delay_s=0.01))
        log = ServerLog(logging.getLogger("gearpool.worker"))
        served = function("work", lambda arg: arg)
        lanes.append(Lane(served, parse_server(address), sessions, health, log, stable_s=10.0))
        return lanes[-1]

    yield open_it
    for lane in lanes:
        lane.close()
    gevent.idle()


def test_a_lane_connects_and_opens_another_session_when_the_first_is_lost(
    sessions: Sessions, open_lane: Callable[[str], Lane]
) -> None:
    with job_server() as server:
        lane = open_lane(server.address)
        assert not lane.connected
        until(lambda: sessions and sessions[0].started)
        assert lane.connected
        assert lane.descriptor >= 0
        sessions[0].close("lost")
        assert not lane.connected
        until(lambda: len(sessions) == 2 and sessions[1].started)
        assert lane.session is sessions[1]
        lane.close()


def test_a_draining_lane_drains_its_session_and_does_not_connect_again(
    sessions: Sessions, open_lane: Callable[[str], Lane]
) -> None:
    with job_server() as server:
        lane = open_lane(server.address)
        until(lambda: sessions and sessions[0].started)
        lane.drain()
        lane.drain()
        assert sessions[0].draining
        sessions[0].close("drained")
        gevent.sleep(0.05)
        assert len(sessions) == 1


def test_a_closed_lane_closes_its_session_with_a_reason(sessions: Sessions, open_lane: Callable[[str], Lane]) -> None:
    with job_server() as server:
        lane = open_lane(server.address)
        until(lambda: sessions and sessions[0].started)
        lane.close()
        assert (sessions[0].closed, sessions[0].reason) == (True, "stopped")


def test_disconnect_shuts_the_connection_down(sessions: Sessions, open_lane: Callable[[str], Lane]) -> None:
    with job_server() as server:
        lane = open_lane(server.address)
        until(lambda: sessions and sessions[0].started)
        lane.disconnect()
        with gevent.Timeout(20):
            assert sessions[0].stream.receive(100) == b""
        lane.close()


def test_a_lane_whose_server_is_down_can_be_drained(
    sessions: Sessions, open_lane: Callable[[str], Lane], caplog: pytest.LogCaptureFixture
) -> None:
    lane = open_lane(f"127.0.0.1:{free_port()}")
    until(lambda: "server.lost" in [getattr(record, "gearpool_event", "") for record in caplog.records])
    assert not lane.connected
    lane.drain()
    gevent.sleep(0.05)
    assert sessions == []
