"""Run a web application's server in a separate process and send HTTP requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_for

ROOT = Path(__file__).parents[2]


class Site:
    """A running web application."""

    def __init__(self, port: int, log: Path) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._log = log

    def ask(self, path: str, *, method: str = "GET") -> tuple[int, Any]:
        """Return the status and the decoded JSON of a response."""
        request = urllib.request.Request(self._base + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def ask_all(self, paths: list[str]) -> list[tuple[int, Any]]:
        """Send many requests concurrently."""
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(self.ask, paths))

    def log(self) -> str:
        """Return the server's output so far."""
        return self._log.read_text()


@contextlib.contextmanager
def serving(*argv: str, server: str, ready: str = "/ready") -> Iterator[Site]:
    """Run the module ``argv[0]`` with the other arguments, in which ``{fd}`` is the listening socket.

    Args:
        argv: the module and its arguments.
        server: the job server's address, for the application.
        ready: what answers when it serves.
    """
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        fd, log = listener.fileno(), Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *(word.replace("{fd}", str(fd)) for word in argv)],
                pass_fds=[fd],
                cwd=ROOT,
                env={**os.environ, "GEARMAN_SERVERS": server, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
            )
        site = Site(listener.getsockname()[1], log)
        try:

            def up() -> bool:
                if process.poll() is not None:
                    pytest.fail(f"{argv[0]} ended with {process.returncode}:\n{site.log()}")
                with contextlib.suppress(OSError, http.client.HTTPException):
                    return site.ask(ready)[0] == 200
                return False

            wait_for(up, f"{argv[0]} to serve", 60)
            yield site
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, -signal.SIGTERM), site.log()
            assert "Traceback" not in site.log(), site.log()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def reverses(text: str) -> str:
    """Return the path that reverses this text."""
    return "/reverse/" + urllib.parse.quote(text)
