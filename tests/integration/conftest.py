from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemons import Site
from tests.processes import OwnServer, running_gearmand


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
    """Makes sites; their daemons are killed at the end."""
    made = Sites(tmp_path)
    yield made
    for site in made.made:
        site.close()


@pytest.fixture(params=["gearmand", "gearpool server"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a job server of this test's own, of both kinds."""
    if request.param == "gearmand":
        with running_gearmand() as gearmand:
            yield gearmand.address
        return
    ours = OwnServer("--drain", "0s")
    try:
        yield ours.address
    finally:
        ours.stop()
