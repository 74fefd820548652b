"""Job servers that are killed or become unreachable. GEARPOOL_OUTAGE_S is the outage in seconds (default 6)."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import children_of, configuration, cpu_s
from tests.processes import Gearmand, need, wait_for

OUTAGE_S = float(os.environ.get("GEARPOOL_OUTAGE_S", "6"))


class ClosedServer:
    """Listens on a job server's port, and counts and closes incoming connections."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._turn_away)
        self._thread.start()

    def _turn_away(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()
                self.connections += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def test_an_unreachable_server_costs_few_connects_and_little_cpu_and_is_served_when_it_returns(
    sites: Sites, gearmand: Gearmand
) -> None:
    site = sites(configuration(gearmand.address)).start().until_serving()
    assert site.process is not None
    with Client(gearmand.address) as client:
        list(client.submit_background_jobs("nap", [f"job{n} 0.1" for n in range(100)]))
    gearmand.kill()
    closed = ClosedServer(gearmand.port)
    pids = [site.process.pid, *children_of(site.process.pid)]
    before, began = sum(map(cpu_s, pids)), time.monotonic()
    time.sleep(OUTAGE_S)  # the outage itself
    used, lasted = sum(map(cpu_s, pids)) - before, time.monotonic() - began
    closed.close()
    # One prober tries the lost server, however many functions there are; each lane has tried once before that.
    assert closed.connections <= 2 * lasted + 2
    assert used / lasted < 0.10
    gearmand.start()
    began = time.monotonic()
    with Client(gearmand.address) as client:
        # The timeout only detects a hang; the benchmarks measure how soon the server is used again.
        assert client.submit_job("record", "ab", timeout=10) == b"ba"
    back = time.monotonic() - began
    rate = closed.connections / lasted
    print(f"{lasted:.0f} s away: {rate:.2f} connects/s, {used / lasted:.2%} CPU; back after {back:.1f} s")


@pytest.fixture
def far_gearmand() -> Iterator[tuple[str, str]]:
    """A gearmand in a network namespace of its own: (its address, the namespace's name)."""
    ip, program = need("ip"), need("gearmand")
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs the right to make a network namespace")
    name, ours, theirs = f"gp{os.getpid()}", f"gpa{os.getpid()}"[:15], f"gpb{os.getpid()}"[:15]
    subnet = f"10.213.{os.getpid() % 250}"

    def run(*words: str) -> None:
        subprocess.run([ip, *words], check=True, capture_output=True)

    try:
        run("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("this machine has no network namespaces")
    server = None
    try:
        run("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        run("addr", "add", f"{subnet}.1/24", "dev", ours)
        run("link", "set", ours, "up")
        run("-n", name, "addr", "add", f"{subnet}.2/24", "dev", theirs)
        run("-n", name, "link", "set", theirs, "up")
        run("-n", name, "link", "set", "lo", "up")
        argv = [ip, "netns", "exec", name, program, "-p", "4730", "-L", f"{subnet}.2", "-u", "root", "-l", "none"]
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def up() -> bool:
            with contextlib.suppress(OSError), socket.create_connection((f"{subnet}.2", 4730), 1.0):
                return True
            return False

        wait_for(up, "the far gearmand")
        yield f"{subnet}.2:4730", name
    finally:
        if server is not None:
            server.kill()
            server.wait()
        subprocess.run([ip, "netns", "del", name], check=False, capture_output=True)


@pytest.mark.timeout(180)
def test_a_black_holed_server_is_detected_and_does_not_slow_the_other(
    sites: Sites, gearmand: Gearmand, far_gearmand: tuple[str, str]
) -> None:
    far, name = far_gearmand
    site = sites(configuration(f'["{gearmand.address}", "{far}"]')).start().until_serving(2)
    # Replies of the far side are dropped silently; no connection is refused.
    subnet = far.rpartition(".")[0]
    subprocess.run(["ip", "-n", name, "route", "add", "blackhole", f"{subnet}.1/32"], check=True)
    with Client(gearmand.address) as client:
        for _ in range(200):
            assert client.submit_job("record", "ab", timeout=5) == b"ba"
    wait_for(lambda: site.ask("status")["servers"][far] is False, "the black hole to be noticed", 32.0)
    with Client(gearmand.address) as client:
        assert client.submit_job("record", "ab", timeout=5) == b"ba"
    subprocess.run(["ip", "-n", name, "route", "del", "blackhole", f"{subnet}.1/32"], check=True)
    wait_for(lambda: site.ask("status")["servers"][far], "the far server to be served again", 60.0)
