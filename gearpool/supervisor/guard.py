"""Looks at the pages of the workers and acts: asks the stalled, dumps and kills the stuck. Floor 4.

Law: an idle daemon looks four times a second at a few bytes each, a busy one ten times, and twenty times only while a
worker is stalled; no worker is asked for anything as long as it turns.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable

from gearpool import logs
from gearpool.settings import Settings
from gearpool.stare import BUSY_S, STALL_S, STALLED_S, Stare, Verdict
from gearpool.supervisor.child import Child, beat_fields
from gearpool.supervisor.deaths import STALLED
from gearpool.supervisor.evidence import evidence, named
from gearpool.supervisor.loop import Loop, Timer

IDLE_S = 0.25
CALM_LOOKS = 10
"""After so many looks that saw little happen the daemon counts as idle."""

log = logging.getLogger("gearpool.supervisor")


class Guard:
    """Watches the workers that ``children`` yields.

    Attributes:
        killed: pids that were killed for being stuck and whose replacement is not ready yet.
    """

    def __init__(
        self,
        loop: Loop,
        children: Callable[[], Iterable[Child]],
        settings_of: Callable[[Child], Settings],
        on_kill: Callable[[Child], object],
    ) -> None:
        self._loop = loop
        self._children = children
        self._settings_of = settings_of
        self._on_kill = on_kill
        self._stares: dict[int, Stare] = {}
        self._doomed: set[int] = set()
        self._calm = 0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to look; idempotent."""
        if self._timer is None:
            self._timer = self._loop.later(BUSY_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stalled_s(self, child: Child) -> float:
        """For how long the worker has shown the same turn; 0 when it turns, or is in a hub that lives."""
        stare = self._stares.get(child.pid)
        return stare.stuck_s if stare is not None and stare.stuck_s >= STALL_S else 0.0

    def forget(self, child: Child) -> None:
        """The child has gone."""
        self._stares.pop(child.pid, None)
        self._doomed.discard(child.pid)

    def _look(self) -> None:
        now = time.monotonic()
        busy = stalled = False
        for child in list(self._children()):
            stare = self._stares.setdefault(child.pid, Stare(pulse=True))
            verdict = stare.look(child.beat(), now, self._settings_of(child))
            busy = busy or stare.busy
            stalled = stalled or stare.stuck_s >= STALL_S
            if verdict is Verdict.ASK:
                child.signal(signal.SIGUSR2)
            elif verdict is Verdict.OVERDUE and child.pid not in self._doomed:
                self._doom(child)
        self._calm = 0 if busy or stalled else self._calm + 1
        pause = STALLED_S if stalled else BUSY_S if self._calm < CALM_LOOKS else IDLE_S
        self._timer = self._loop.later(pause, self._look)

    def _doom(self, child: Child) -> None:
        self._doomed.add(child.pid)
        turn = child.beat().turn
        child.ask_for_stacks(lambda stacks: self._execute(child, turn, stacks))

    def _execute(self, child: Child, turn: int, stacks: str) -> None:
        if child.pid not in self._doomed:
            return
        beat = child.beat()
        if beat.turn != turn:
            self._doomed.discard(child.pid)
            return
        settings = self._settings_of(child)
        fields = beat_fields(beat, settings.functions)
        if not fields:
            fields["suspects"] = named(evidence(child, settings, "", stalled=True).suspects) or None
        logs.emit(
            log,
            logging.ERROR,
            "worker.killed",
            f"worker {child.pid} has been blocked for {self.stalled_s(child):.1f} s; killing it",
            **fields,
            worker=child.pid,
            stalled_s=round(self.stalled_s(child), 3),
            stacks=stacks or None,
        )
        child.kill(STALLED)
        self._on_kill(child)
