"""The daemon under a service manager and as PID 1 of a container, with real workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import configuration
from tests.processes import Gearmand, wait_for
from tests.supervisor.notifications import ServiceManager
from tests.supervisor.test_reaping import can_unshare

SLOW_IMPORT = """
while (FOLDER / "hold").exists():
    time.sleep(0.01)
"""

ORPHANS = """
import subprocess

def orphans(arg):
    # The grandchild's parent exits immediately, so PID 1 adopts it; it exits shortly after.
    for _ in range(5):
        subprocess.run(["sh", "-c", "sleep 0.1 & exit 0"], check=True)
    return b"made"
"""


def test_the_service_manager_is_notified_of_each_state_and_gets_no_watchdog_ping_while_a_worker_is_stalled(
    sites: Sites, gearmand: Gearmand, tmp_path: Path
) -> None:
    manager = ServiceManager(str(tmp_path / "notify"))
    functions = "  stuck: {handler: site_handlers.hold_the_gil, poison: {kills: 1}}\n"
    site = sites(configuration(gearmand.address, functions=functions, stall_timeout="1s"))
    site.handlers.write_text(site.handlers.read_text() + SLOW_IMPORT)
    site.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
    site.start()
    manager.until("READY=1")
    site.until_serving()
    manager.until("WATCHDOG=1", 3)
    site.send(signal.SIGHUP)
    manager.until("READY=1", 2)
    manager.until("WATCHDOG=1", manager.lines.count("WATCHDOG=1") + 2)
    # The replacement of the worker that will be killed cannot become ready while it imports.
    (site.folder / "hold").touch()
    with Client(gearmand.address) as client:
        client.submit_background_job("stuck", "x")
    wait_for(lambda: site.events("worker.killed"), "the stalled worker to be killed")
    fed = manager.read().count("WATCHDOG=1")
    later = site.ask("status")["uptime_s"] + 1.0
    wait_for(lambda: site.ask("status")["uptime_s"] > later, "several periods of the watchdog")
    assert manager.read().count("WATCHDOG=1") <= fed + 1  # one may have been under way
    (site.folder / "hold").unlink()
    manager.until("WATCHDOG=1", fed + 4)
    site.send(signal.SIGTERM)
    assert site.wait() == 0
    assert manager.milestones() == ["READY", "RELOADING", "MONOTONIC_USEC", "READY", "STOPPING"]
    manager.socket.close()


@pytest.mark.skipif(not can_unshare(), reason="needs the right to make a PID namespace")
def test_as_pid_1_of_a_container_the_daemon_reaps_zombies_and_obeys_sigterm(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address, functions="  orphans: orphans.orphans\n", processes=2))
    (site.folder / "orphans.py").write_text(ORPHANS)
    log = site.folder / "log"
    with log.open("wb") as stderr:
        daemon = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
             sys.executable, "-m", "gearpool", "-c", str(site.path)],
            stderr=stderr, env=site.environment,
        )  # fmt: skip
    try:
        wait_for(lambda: b"daemon.ready" in log.read_bytes(), "the daemon")
        inside = int(Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()[0])
        with Client(gearmand.address) as client:
            for _ in range(4):
                assert client.submit_job("orphans", b"", timeout=30) == b"made"

        def states() -> list[str]:
            enter = ["nsenter", "--target", str(inside), "--pid", "--mount", "ps", "-eo", "stat=,comm="]
            return subprocess.run(enter, capture_output=True, text=True, check=True).stdout.splitlines()

        wait_for(lambda: not any("sleep" in row or row.startswith("Z") for row in states()), "no orphan, no zombie")
        os.kill(inside, signal.SIGTERM)
        assert daemon.wait(20) == 0
    finally:
        daemon.kill()
        daemon.wait()
