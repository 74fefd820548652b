from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.page import Activity
from gearpool.supervisor.notify import Notifier
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import plain_settings


class Manager:
    """A service manager's notification socket; keeps what came."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.lines: list[str] = []

    def read(self) -> list[str]:
        while True:
            try:
                self.lines += self.socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.lines

    def until(self, start: str, times: int = 1) -> None:
        wait_for(lambda: sum(line.startswith(start) for line in self.read()) >= times, f"{times} × {start}")

    def milestones(self) -> list[str]:
        wanted = ("READY", "RELOADING", "MONOTONIC_USEC", "STOPPING")
        return [line.split("=")[0] for line in self.read() if line.startswith(wanted)]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_the_manager_sees_ready_reloading_ready_and_stopping(
    daemons: Factory, manager: Manager, tmp_path: Path
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
    daemons: Factory, manager: Manager, tmp_path: Path
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


def test_a_stalled_worker_that_was_on_its_way_out_is_not_waited_for_by_the_watchdog(
    daemons: Factory, manager: Manager, tmp_path: Path
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


def test_an_abstract_socket_works() -> None:
    name = f"gearpool-test-{os.getpid()}"
    manager = Manager("\0" + name)
    Notifier({"NOTIFY_SOCKET": "@" + name}).ready("fine")
    manager.until("READY=1")
    assert "STATUS=fine" in manager.lines
    manager.socket.close()


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    notifier.ready("fine")
    assert notifier.watchdog_s is None


def test_a_manager_that_has_gone_harms_nobody(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).stopping("bye")


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000"}
    assert Notifier(environment).watchdog_s == 1.0
    assert Notifier({**environment, "WATCHDOG_PID": "1"}).watchdog_s is None
