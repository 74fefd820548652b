"""The options with which a daemon is started. Floor 4; pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from gearpool.supervisor.heartbeat import KILL_S, WEB_KILL_S

START_S = 120.0
"""A child that is not ready after this long is killed."""


@dataclass(frozen=True)
class Programs:
    """The command line of each kind of child; ``--channel FD --page FD`` is appended, for web also ``--listener FD``."""

    checker: Sequence[str] = (sys.executable, "-m", "gearpool.children.checker")
    worker: Sequence[str] = (sys.executable, "-m", "gearpool.children.worker")
    jobserver: Sequence[str] = (sys.executable, "-m", "gearpool.children.jobserver")
    web: Sequence[str] = (sys.executable, "-m", "gearpool.children.web")


@dataclass(frozen=True)
class Options:
    """The options of one daemon.

    Attributes:
        path: the configuration file.
        overrides: options passed on to the checker, at the start and at every reload.
        programs: the commands that start the children.
        start_s: see `starting`.
        silent_kill_s: see `heartbeat`; ``web_kill_s`` is that of the web child.
        folder: the working directory with its symlinks. It is entered again at every reload, because a symlink may point
            elsewhere by then. None: the working directory is never changed.
    """

    path: str
    overrides: Sequence[str] = ()
    programs: Programs = field(default_factory=Programs)
    start_s: float = START_S
    silent_kill_s: float = KILL_S
    web_kill_s: float = WEB_KILL_S
    folder: str | None = None

    @property
    def check(self) -> list[str]:
        """The checker's command line."""
        return [*self.programs.checker, "--file", self.path, *self.overrides]
