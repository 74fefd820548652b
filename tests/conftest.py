"""Fixtures that all tests share."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
from gevent.hub import Hub
from xdist.scheduler import LoadScopeScheduling

from gearpool import logs
from tests.processes import Gearmand, running_gearmand

ONE_PROCESS = frozenset(
    {
        "tests/deploy/test_booted_unit.py",
        "tests/deploy/test_dockerfile.py",
        "tests/integration/test_daemon_kill.py",
        "tests/test_package.py",
        "tests/test_types.py",
        "tests/worker/test_ends.py",
    }
)
"""Files whose tests share something that is slow to create: a booted machine, an image, a wheel."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Each test goes to the next free process, except that the tests of a file in `ONE_PROCESS` stay together.

    (xdist's own ``--dist loadgroup`` groups nothing with pytest 9.2: it sets an attribute that is not used any more.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in ONE_PROCESS else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # First, so that the other processes are not idle at the end.
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in ONE_PROCESS)


@pytest.fixture
def gearmand() -> Iterator[Gearmand]:
    """A running gearmand that only this test uses."""
    with running_gearmand() as server:
        yield server


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Restore logging and hooks, which a command replaces when it is run inside the test process."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, Hub.print_exception
    yield
    logs.unconfigure()
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, Hub.print_exception = hooks
