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
"""Files whose tests share something that takes long to make: a booted machine, an image, a wheel."""


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
    # First, or the other processes would have nothing to do at the end.
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in ONE_PROCESS)


@pytest.fixture
def gearmand() -> Iterator[Gearmand]:
    """A real gearmand of this test's own."""
    with running_gearmand() as server:
        yield server


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command that is run inside the tests' process takes over its logging and its hooks."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, Hub.print_exception
    yield
    logs.unconfigure()
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, Hub.print_exception = hooks
