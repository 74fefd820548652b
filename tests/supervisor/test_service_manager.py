from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.page import Activity
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import plain_settings
from tests.supervisor.notifications import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    made = ServiceManager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_the_manager_sees_ready_reloading_ready_and_stopping(
    daemons: Factory, manager: ServiceManager, tmp_path: Path
) -> None:
    daemon = daemons(NOTIFY_SOCKET=str(tmp_path / "notify")).start()
    manager.until("READY=1")
    daemon.send(signal.SIGHUP)
    manager.until("READY=1", 2)
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0
    assert manager.milestones() == ["READY", "RELOADING", "MONOTONIC_USEC", "READY", "STOPPING"]
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in manager.lines)


def test_the_watchdog_is_withheld_while_a_stalled_worker_is_not_replaced(
    daemons: Factory, manager: ServiceManager, tmp_path: Path
) -> None:
    settings = plain_settings(stall_timeout_s=0.3)
    daemon = daemons(settings, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000").start().until_ready()
    manager.until("WATCHDOG=1", 2)
    (pid,) = daemon.workers()
    (daemon.children / "hold").touch()
    daemon.tell(pid, page=[int(Activity.JOB), 0, "H:x:1", "u"])
    wait_for(lambda: daemon.workers("starting"), "the replacement to be started")
    fed = manager.read().count("WATCHDOG=1")
    # The daemon's own clock goes on for several watchdog periods; feeding does not.
    alive = daemon.ask("status")["uptime_s"] + 0.5
    wait_for(lambda: daemon.ask("status")["uptime_s"] > alive, "several periods")
    assert manager.read().count("WATCHDOG=1") == fed
    (daemon.children / "hold").unlink()
    manager.until("WATCHDOG=1", fed + 2)


def test_the_watchdog_does_not_wait_for_a_replacement_of_a_draining_worker(
    daemons: Factory, manager: ServiceManager, tmp_path: Path
) -> None:
    settings = plain_settings(stall_timeout_s=0.3)
    daemon = daemons(settings, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000").start().until_ready()
    (pid,) = daemon.workers()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.workers("draining") == [pid], "the old worker to drain")
    daemon.tell(pid, page=[int(Activity.JOB), 0, "H:x:1", "u"])
    wait_for(lambda: daemon.events("worker.killed"), "the old worker to be killed")
    manager.until("WATCHDOG=1", manager.read().count("WATCHDOG=1") + 3)
