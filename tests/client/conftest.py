"""The servers and workers that the client's tests talk to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from gearpool.client import Client
from gearpool.testing.servers import job_server
from tests.client.workers import Handler, ThreadWorker
from tests.processes import running_gearmand


class Server(Protocol):
    """What a test needs of a job server."""

    address: str
    port: int


@pytest.fixture(params=["embedded", "gearmand"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Our own server, and a real gearmand: the client behaves the same with both."""
    if request.param == "embedded":
        with job_server() as ours:
            yield ours  # type: ignore[misc]  # its address is read-only
    else:
        with running_gearmand() as theirs:
            yield theirs


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of that server."""
    with Client(server.address) as made:
        yield made


class Workers:
    """Starts workers that the fixture stops."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._running: list[ThreadWorker] = []

    def __call__(self, address: str | None = None, **functions: Handler) -> ThreadWorker:
        """A worker of these functions, registered."""
        worker = ThreadWorker(address or self._address, functions)
        self._running.append(worker)
        return worker

    def stop(self) -> None:
        """End them all."""
        for worker in self._running:
            worker.stop()


@pytest.fixture
def work(server: Server) -> Iterator[Workers]:
    """``work(reverse=handler)`` starts a worker of the server."""
    workers = Workers(server.address)
    yield workers
    workers.stop()
