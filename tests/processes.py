"""Real processes for tests: gearmand on a free port, and waiting for conditions with a deadline."""

from __future__ import annotations

import contextlib
import os
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


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], _T], what: str, seconds: float = 20.0) -> _T:
    """The first true value of ``condition()``; fails the test when none has come within ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.01)


def need(program: str) -> str:
    """The path of a foreign program: without it the test is skipped on a laptop and fails in CI."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        missing(program)
    assert path is not None
    return path


def missing(peer: str) -> None:
    """A foreign peer is not installed: skip on a laptop, fail in CI."""
    message = f"{peer} is not installed; `make peers` installs it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0):
        return True
    return False


class Gearmand:
    """A real gearmand; `kill` it, `restart` it on the same port, `stop` it."""

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
        """Send it a signal; after SIGSTOP it stands still when this returns."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """kill -9: whatever it held in memory is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """kill -9 and start again on the same port."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End it and remove its files."""
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
    """``gearpool server`` as a process of its own."""

    def __init__(self, *options: str) -> None:
        argv = [sys.executable, "-m", "gearpool", "server", "--listen", "127.0.0.1:0", *options]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]
        self.port = int(self.address.rpartition(":")[2])

    def stop(self) -> None:
        """End it."""
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
