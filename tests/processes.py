"""Job server processes for tests, and waiting for a condition with a deadline."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

_T = TypeVar("_T")


_WORKERS = 16
_PORTS = 1300
_FIRST_PORT = 11_000
_next_port = itertools.count(random.SystemRandom().randrange(_PORTS))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is not in use now.

    Each process of pytest-xdist has a range of its own, below those that the kernel gives to outgoing connections, so that
    nothing else takes the port before the test does.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    while True:
        port = _FIRST_PORT + worker * _PORTS + next(_next_port) % _PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def unmeasured(**variables: str) -> dict[str, str]:
    """The environment for a process in which coverage is not measured, since that loads modules of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")} | variables


def wait_for(condition: Callable[[], _T], what: str, seconds: float = 60.0) -> _T:
    """Return the first true value of ``condition()``; fail the test if there is none within ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"timed out after {seconds:g} s waiting for {what}")
        time.sleep(0.01)


def need(program: str) -> str:
    """Return the path of a program; if it is not installed, skip the test, or fail it in CI."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        missing(program)
    assert path is not None
    return path


def missing(peer: str) -> None:
    """Skip the test because a peer is not installed; in CI, fail it."""
    message = f"{peer} is not installed; `make peers` installs it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether the port accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0):
        return True
    return False


class Gearmand:
    """A gearmand process that can be killed, restarted on the same port, and stopped."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        self._program = need("gearmand")
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="gearmand-")
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        folder = Path(self._folder.name)
        argv = [self._program, "-p", str(self.port), "-L", "127.0.0.1", "--threads", "1", "-l", str(folder / "log")]
        argv += ["-P", str(folder / "pid"), *self._options]
        if os.geteuid() == 0:
            argv += ["-u", "root"]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: accepts(self.port), f"gearmand on port {self.port}")

    def signal(self, number: int) -> None:
        """Send it a signal; after SIGSTOP this returns once the process is stopped."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """Send SIGKILL: everything it held in memory is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Stop it and remove its files."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        self._folder.cleanup()


class OwnServer:
    """A ``gearpool server`` process."""

    def __init__(self, *options: str) -> None:
        argv = [sys.executable, "-m", "gearpool", "server", "--listen", "127.0.0.1:0", *options]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]
        self.port = int(self.address.rpartition(":")[2])

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def running_gearmand(*options: str) -> Iterator[Gearmand]:
    """A gearmand for the duration of a block."""
    server = Gearmand(*options)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def running_server(kind: str) -> Iterator[str]:
    """Run a "gearmand" or a "gearpool server" for the duration of a block; the value is its address."""
    if kind == "gearmand":
        with running_gearmand() as gearmand:
            yield gearmand.address
        return
    ours = OwnServer("--drain", "0s")
    try:
        yield ours.address
    finally:
        ours.stop()
