"""Replaces workers that have run enough jobs, are old enough, or have grown too large. Floor 4.

Law: one at a time, and the replacement is ready before the old one drains, so the pool is never smaller for it. Every
worker draws its own limits, so that those started together do not go together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gearpool.settings import RecycleSettings, Settings
from gearpool.supervisor.child import Child
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.pool import Pool
from gearpool.supervisor.states import Stage
from gearpool.supervisor.totals import jobs_run

PERIOD_S = 0.5


@dataclass(frozen=True)
class Limits:
    """One worker's own limits; None: no such limit."""

    jobs: float | None
    age_s: float | None
    memory_bytes: float | None

    @classmethod
    def draw(cls, settings: RecycleSettings, rng: Callable[[], float] = random.random) -> Limits:
        """The configured limits, each lowered by up to ``jitter`` of itself."""

        def lowered(limit: float | None) -> float | None:
            return None if limit is None else limit * (1.0 - settings.jitter * rng())

        return cls(lowered(settings.jobs), lowered(settings.age_s), lowered(settings.memory_bytes))

    def reached(self, jobs: int, age_s: float, memory_bytes: int) -> str | None:
        """Which limit has been reached, if any."""
        if self.jobs is not None and jobs >= self.jobs:
            return "jobs"
        if self.age_s is not None and age_s >= self.age_s:
            return "age"
        if self.memory_bytes is not None and memory_bytes >= self.memory_bytes:
            return "memory"
        return None


def refusal(settings: Settings, fresh_bytes: int) -> str | None:
    """Why a memory limit makes no sense for processes that use ``fresh_bytes`` when they start, None if it does."""
    recycle = settings.recycle
    if recycle is None or recycle.memory_bytes is None or not fresh_bytes:
        return None
    least = recycle.memory_bytes * (1.0 - recycle.jitter)
    if fresh_bytes < least:
        return None
    return (
        f"recycle.memory: a fresh worker already uses {fresh_bytes / 2**20:.0f} MiB, and {least / 2**20:.0f} MiB "
        f"(the limit less its jitter) would replace it at once, for ever; set it well above"
    )


class Recycler:
    """Looks at the workers twice a second while there is a limit, or while somebody asked for replacements."""

    def __init__(self, loop: Loop, pool: Pool) -> None:
        self._loop = loop
        self._pool = pool
        self._limits: dict[int, tuple[RecycleSettings, Limits]] = {}
        self._asked: dict[int, str] = {}
        self._timer: Timer | None = None
        self.fresh_bytes = 0

    def start(self) -> None:
        """Begin to look if the configuration in force has limits, else end it; idempotent."""
        settings = self._pool.settings
        if settings is None or settings.recycle is None:
            self.stop()
        elif self._timer is None:
            self._timer = self._loop.later(PERIOD_S, self._look)

    def stop(self) -> None:
        """Replace nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ask(self, children: list[Child], reason: str) -> None:
        """Replace these workers, one after the other."""
        self._asked.update((child.pid, reason) for child in children)
        self._next()

    def forget(self, child: Child) -> None:
        """The child has gone."""
        self._limits.pop(child.pid, None)
        self._asked.pop(child.pid, None)
        self._loop.soon(self._next)

    def _look(self) -> None:
        self._timer = self._loop.later(PERIOD_S, self._look)
        settings = self._pool.settings
        if settings is not None and settings.recycle is not None:
            for child in self._pool.serving():
                if child.pid not in self._asked and child.generation == self._pool.generation:
                    reason = self._limits_of(child, settings.recycle).reached(
                        jobs_run(child.status), child.served_s, child.memory_bytes()
                    )
                    if reason is not None:
                        self._asked[child.pid] = reason
        self._next()

    def _limits_of(self, child: Child, settings: RecycleSettings) -> Limits:
        known = self._limits.get(child.pid)
        if known is None or known[0] != settings:
            known = self._limits[child.pid] = (settings, Limits.draw(settings))
        return known[1]

    def _next(self) -> None:
        if any(child.stage in {Stage.RETIRING, Stage.STARTING} for child in self._pool.all()):
            return
        for pid, reason in list(self._asked.items()):
            child = self._pool.find(pid)
            if child is not None and self._pool.recycle(child, reason):
                return
            del self._asked[pid]
