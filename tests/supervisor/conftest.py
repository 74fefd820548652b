from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.settings import Settings
from tests.supervisor.daemons import ScriptedDaemon


class Factory:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.made: list[ScriptedDaemon] = []

    def __call__(self, settings: Settings | None = None, start_s: float = 30.0, **environment: str) -> ScriptedDaemon:
        daemon = ScriptedDaemon(self._folder / f"daemon{len(self.made)}", settings, start_s, **environment)
        self.made.append(daemon)
        return daemon


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Factory]:
    """Creates daemons with scripted children and kills them at the end."""
    factory = Factory(tmp_path)
    yield factory
    for daemon in factory.made:
        daemon.close()
