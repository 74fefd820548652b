from __future__ import annotations

import os
from pathlib import Path

from gearpool.supervisor.notify import Notifier
from tests.supervisor.notifications import ServiceManager


def test_an_abstract_socket_works() -> None:
    name = f"gearpool-test-{os.getpid()}"
    manager = ServiceManager("\0" + name)
    Notifier({"NOTIFY_SOCKET": "@" + name}).ready("fine")
    manager.until("READY=1")
    assert "STATUS=fine" in manager.lines
    manager.socket.close()


def test_without_a_service_manager_nothing_is_sent() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    notifier.ready("fine")
    assert notifier.watchdog_s is None


def test_a_missing_service_manager_does_no_harm(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).stopping("bye")


def test_the_watchdog_of_another_process_is_ignored() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000"}
    assert Notifier(environment).watchdog_s == 1.0
    assert Notifier({**environment, "WATCHDOG_PID": "1"}).watchdog_s is None
