"""pytest fixtures: a job server, its client and its worker. Floor 5.

pytest loads this in every run wherever gearpool is installed, so it imports nothing but pytest. gevent is loaded when a
fixture is used, and nothing is ever monkey-patched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gearpool import Client
    from gearpool.testing import ThreadedJobServer, ThreadedWorker


@pytest.fixture
def gearpool_server() -> Iterator[ThreadedJobServer]:
    """A real job server of this test's own: ``address``, ``port``, ``stop()``, ``start()``, ``faults``."""
    from gearpool.testing import job_server

    with job_server() as server:
        yield server


@pytest.fixture
def gearpool_client(gearpool_server: ThreadedJobServer) -> Iterator[Client]:
    """A `gearpool.Client` of ``gearpool_server``; a result is waited for 10 s at most."""
    from gearpool import Client

    with Client(gearpool_server.address, job_timeout=10.0) as client:
        yield client


@pytest.fixture
def gearpool_worker(gearpool_server: ThreadedJobServer) -> Iterator[ThreadedWorker]:
    """A worker of ``gearpool_server``, in a thread: ``gearpool_worker.add("resize", handler, timeout=5)``."""
    from gearpool.testing import ThreadedWorker

    with ThreadedWorker(gearpool_server.address) as worker:
        yield worker
