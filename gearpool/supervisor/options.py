"""What a daemon is started with. Floor 4; pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from gearpool.supervisor.heartbeat import KILL_S

START_S = 120.0
"""A child that is not ready after this long never will be."""


@dataclass(frozen=True)
class Programs:
    """The argv of each kind of child; descriptors are appended as ``--channel FD --page FD``."""

    checker: Sequence[str] = (sys.executable, "-m", "gearpool.children.checker")
    worker: Sequence[str] = (sys.executable, "-m", "gearpool.children.worker")
    jobserver: Sequence[str] = (sys.executable, "-m", "gearpool.children.jobserver")


@dataclass(frozen=True)
class Options:
    """What the command line says. ``overrides`` are passed on to the checker, at the start and at every reload.

    ``folder`` is the working directory as it was entered, which is entered anew at every reload: a link in it may have
    been led elsewhere. None: it stays what it is. ``start_s`` and ``silent_kill_s``: see `starting` and `heartbeat`.
    """

    path: str
    overrides: Sequence[str] = ()
    programs: Programs = field(default_factory=Programs)
    start_s: float = START_S
    silent_kill_s: float = KILL_S
    folder: str | None = None

    @property
    def check(self) -> list[str]:
        """The checker's argv for this file."""
        return [*self.programs.checker, "--file", self.path, *self.overrides]
