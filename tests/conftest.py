"""Fixtures that all tests share."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
from gevent.hub import Hub

from gearpool import logs
from tests.processes import Gearmand, running_gearmand


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
