"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import Gearmand, running_gearmand


@pytest.fixture
def gearmand() -> Iterator[Gearmand]:
    """A real gearmand of this test's own."""
    with running_gearmand() as server:
        yield server
