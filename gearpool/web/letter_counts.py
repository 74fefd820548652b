"""Keeps counting the dead letters of the files that the configuration names, in the background. Floor 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore

from gearpool.settings import Settings
from gearpool.web.letter_files import LetterCounts, paths_of
from gearpool.web.threads import in_thread

EVERY_S = 5.0


class LetterFiles:
    """The files of one site.

    Attributes:
        counts: how many letters each file had when it was counted last.
        changing: held while files are changed, which is done once at a time.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._counts = LetterCounts()
        self._counting: gevent.Greenlet[..., Any] | None = None
        self.counts: dict[str, Any] = {"files": []}
        self.changing = BoundedSemaphore()

    @property
    def paths(self) -> list[str]:
        """The files that the configuration names."""
        return paths_of(self._settings())

    def count_soon(self) -> None:
        """Count the letters now, or later if they were counted a moment ago."""
        if self._counting is None:
            self._counting = gevent.spawn(self._count)

    def _count(self) -> None:
        try:
            self.counts = {"files": [in_thread(self._counts.count, path) for path in self.paths]}
            gevent.sleep(EVERY_S)
        finally:
            self._counting = None
