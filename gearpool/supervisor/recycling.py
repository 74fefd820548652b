"""Replaces workers that have reached a limit of jobs, age or memory. Floor 4.

Invariant: one at a time, and the replacement is ready before the old worker drains, so capacity never drops. Every worker
gets its own random limits, so that workers started together are not replaced together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gearpool.settings import RecycleSettings, Settings
from gearpool.supervisor.child import Child
from gearpool.supervisor.fleet import Fleet
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.states import ChildState

PERIOD_S = 0.5


@dataclass(frozen=True)
class Limits:
    """The limits of one worker; None: no limit."""

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
        """The name of the limit that has been reached, if any."""
        if self.jobs is not None and jobs >= self.jobs:
            return "jobs"
        if self.age_s is not None and age_s >= self.age_s:
            return "age"
        if self.memory_bytes is not None and memory_bytes >= self.memory_bytes:
            return "memory"
        return None


def refusal(settings: Settings, fresh_bytes: int) -> str | None:
    """Why the memory limit is too low for workers that use ``fresh_bytes`` when they start; None if it is not."""
    recycle = settings.recycle
    if recycle is None or recycle.memory_bytes is None or not fresh_bytes:
        return None
    lowest = recycle.memory_bytes * (1.0 - recycle.jitter)
    if fresh_bytes < lowest:
        return None
    return (
        f"recycle.memory: a new worker already uses {fresh_bytes / 2**20:.0f} MiB, so it would be replaced at once, again "
        f"and again, by a limit of {lowest / 2**20:.0f} MiB (the setting less its jitter); set a much higher limit"
    )


class Recycler:
    """Checks the workers against the limits, if the configuration has any, and serves requests for a replacement.

    Attributes:
        fresh_bytes: the most memory a worker has used when it became ready.
    """

    def __init__(self, loop: Loop, fleet: Fleet) -> None:
        self._loop = loop
        self._fleet = fleet
        self._limits: dict[int, tuple[RecycleSettings, Limits]] = {}
        self._asked: dict[int, str] = {}
        self._timer: Timer | None = None
        self.fresh_bytes = 0

    def start(self) -> None:
        """Start checking if the configuration in effect has limits, else stop; idempotent."""
        settings = self._fleet.settings
        if settings is None or settings.recycle is None:
            self.stop()
        elif self._timer is None:
            self._timer = self._loop.later(PERIOD_S, self._check)

    def stop(self) -> None:
        """Stop checking; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ask(self, children: list[Child], reason: str) -> None:
        """Replace these workers one after the other."""
        self._asked.update((child.pid, reason) for child in children)
        self._next()

    def forget(self, child: Child) -> None:
        """The worker has ended."""
        self._limits.pop(child.pid, None)
        self._asked.pop(child.pid, None)
        self._loop.soon(self._next)

    def _check(self) -> None:
        self._timer = self._loop.later(PERIOD_S, self._check)
        settings = self._fleet.settings
        if settings is not None and settings.recycle is not None:
            for child in self._fleet.serving():
                if child.pid not in self._asked and child.generation == self._fleet.generation:
                    limits = self._limits_of(child, settings.recycle)
                    jobs = child.jobs if settings.recycle.jobs else 0
                    reason = limits.reached(jobs, child.served_s, child.memory_bytes())
                    if reason is not None:
                        self._asked[child.pid] = reason
        self._next()

    def _limits_of(self, child: Child, settings: RecycleSettings) -> Limits:
        known = self._limits.get(child.pid)
        if known is None or known[0] != settings:
            known = self._limits[child.pid] = (settings, Limits.draw(settings))
        return known[1]

    def _next(self) -> None:
        if any(child.state in {ChildState.RETIRING, ChildState.STARTING} for child in self._fleet.all()):
            return
        for pid, reason in list(self._asked.items()):
            child = self._fleet.find(pid)
            if child is not None and self._fleet.recycle(child, reason):
                return
            del self._asked[pid]
