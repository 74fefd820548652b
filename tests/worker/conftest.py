"""Fixtures that run a test with both job servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gearpool import Client
from gearpool.testing.servers import job_server
from tests.processes import running_gearmand


@pytest.fixture(params=["embedded", "gearmand"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a new job server."""
    if request.param == "gearmand":
        with running_gearmand() as real:
            yield real.address
    else:
        with job_server() as ours:
            yield ours.address


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    """A client of that server with a timeout."""
    with Client(server, exceptions=True) as ours:
        yield ours
