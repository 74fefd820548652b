"""The servers against which every conformance test runs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from gearpool.testing.servers import job_server
from tests.conformance.wire import Wire
from tests.processes import running_gearmand


class Server(NamedTuple):
    """A running job server: its kind and its port."""

    name: str
    port: int
    connect: Callable[[], Wire]

    @property
    def ours(self) -> bool:
        """Return whether it is the embedded server."""
        return self.name == "embedded"

    def version(self) -> str:
        """Return its version, such as ``1.1.20+ds``: what is expected of gearmand depends on it."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(b"version\r\n")
            line = connection.makefile("rb").readline()
        return line.decode().removeprefix("OK ").strip()


@contextlib.contextmanager
def serving(
    name: str,
    *,
    job_retries: int = 0,
    exceptions: bool = False,
    worker_wakeup: int = 0,
    handle_prefix: str | None = None,
) -> Iterator[Server]:
    """Run a server of this kind for the duration of a block, and close its connections at the end."""
    with contextlib.ExitStack() as stack:
        if name == "embedded":
            own = job_server(
                job_retries=job_retries,
                exceptions=exceptions,
                worker_wakeup=worker_wakeup,
                handle_prefix=handle_prefix,
            )
            port = stack.enter_context(own).port
        else:
            options = ["--job-retries", str(job_retries)] if job_retries else []
            options += ["--exceptions"] if exceptions else []
            options += ["--worker-wakeup", str(worker_wakeup)] if worker_wakeup else []
            options += ["--job-handle-prefix", handle_prefix] if handle_prefix else []
            port = stack.enter_context(running_gearmand(*options)).port
        yield Server(name, port, lambda: stack.enter_context(Wire(port)))


@pytest.fixture(params=["embedded", "gearmand"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of server, for tests that start one with options."""
    name: str = request.param
    return name


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    """A running server that only this test uses."""
    with serving(kind) as running:
        yield running
