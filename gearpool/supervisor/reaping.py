"""Collects the exit status of ended child processes; as PID 1 also of orphans. Floor 4."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable


def reap(own: Callable[[], object], pids: Callable[[], Iterable[int]]) -> None:
    """Call ``own()``, which reaps our children, and as PID 1 reap orphans until none is left.

    Args:
        own: collects the exit status of our children that have ended.
        pids: returns the process ids of our children that are not reaped yet.
    """
    own()
    while os.getpid() == 1:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        if ended.si_pid in set(pids()):
            own()
        else:
            os.waitpid(ended.si_pid, 0)
