"""What is logged of servers that are connected and lost."""

from __future__ import annotations

import logging

import pytest

from gearpool.worker.server_log import ServerLog


@pytest.fixture
def server_log(caplog: pytest.LogCaptureFixture) -> ServerLog:
    caplog.set_level(logging.INFO)
    return ServerLog(logging.getLogger("gearpool.worker"))


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.gearpool_event, record.getMessage().partition(" [")[0]) for record in caplog.records]  # type: ignore[attr-defined]


def test_a_server_is_logged_once_for_all_its_lanes(server_log: ServerLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        server_log.connected("s:1", again=False)
    for _ in range(3):
        server_log.lost("s:1", "closed by the server", 0.5)
    server_log.connected("s:1", again=True)
    assert [event for event, _ in events(caplog)] == ["server.connected", "server.lost", "server.connected"]
    assert server_log.reconnects == 1


def test_the_callbacks_are_called_when_a_server_changes_its_state(server_log: ServerLog) -> None:
    calls: list[str] = []
    server_log.on_connected = lambda server: calls.append(f"connected {server}")
    server_log.on_lost = lambda server: calls.append(f"lost {server}")
    server_log.lost("s:1", "refused", 0.5)
    server_log.lost("s:1", "refused", 1.0)
    server_log.connected("s:1", again=False)
    server_log.connected("s:1", again=False)
    assert calls == ["lost s:1", "connected s:1"]


def test_a_server_that_connects_while_the_callback_blocks_is_logged_once(
    server_log: ServerLog, caplog: pytest.LogCaptureFixture
) -> None:
    def connect_another_lane(server: str) -> None:
        server_log.on_connected = None
        server_log.connected(server, again=False)

    server_log.on_connected = connect_another_lane
    server_log.connected("s:1", again=False)
    assert [event for event, _ in events(caplog)] == ["server.connected"]
