from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemons import Site
from tests.processes import running_server


class Sites:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.made: list[Site] = []

    def __call__(self, configuration: str) -> Site:
        site = Site(self._folder / f"site{len(self.made)}", configuration)
        self.made.append(site)
        return site


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    """Creates sites; their daemons are killed at the end of the test."""
    made = Sites(tmp_path)
    yield made
    for site in made.made:
        site.close()


@pytest.fixture(params=["gearmand", "gearpool server"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a job server that only this test uses, once of each kind."""
    with running_server(request.param) as address:
        yield address
