"""Watches the workers' shared pages: signals a blocked worker, and kills one that stays blocked too long. Floor 4.

Invariant: watching is cheap. The pages are read four times a second while idle, ten times while busy and twenty times
only while a worker is blocked; a worker whose event loop makes progress is never signalled.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable

from gearpool import logs
from gearpool.page import Reading
from gearpool.settings import Settings
from gearpool.stall_detector import BUSY_S, STALL_S, STALLED_S, Finding, StallDetector
from gearpool.supervisor.child import Child, job_fields
from gearpool.supervisor.deaths import STALLED
from gearpool.supervisor.evidence import evidence, named
from gearpool.supervisor.loop import Loop, Timer

IDLE_S = 0.25
IDLE_AFTER_CHECKS = 10
"""The daemon counts as idle after this many readings in a row that saw little activity."""

log = logging.getLogger("gearpool.supervisor")


class Guard:
    """Watches workers.

    Args:
        loop: runs the timers.
        children: returns the workers to watch.
        settings_of: returns a worker's configuration.
        on_kill: called with a worker that is killed because it is blocked, the reading that shows it, and its stacks.
    """

    def __init__(
        self,
        loop: Loop,
        children: Callable[[], Iterable[Child]],
        settings_of: Callable[[Child], Settings],
        on_kill: Callable[[Child, Reading, str], object],
    ) -> None:
        self._loop = loop
        self._children = children
        self._settings_of = settings_of
        self._on_kill = on_kill
        self._detectors: dict[int, StallDetector] = {}
        self._to_kill: set[int] = set()
        self._idle_checks = 0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Start watching; idempotent."""
        if self._timer is None:
            self._timer = self._loop.later(BUSY_S, self._check)

    def stop(self) -> None:
        """Stop watching; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stalled_s(self, child: Child) -> float:
        """For how long the worker's event loop has been blocked; 0 if it is not."""
        detector = self._detectors.get(child.pid)
        return detector.stuck_s if detector is not None and detector.stuck_s >= STALL_S else 0.0

    def forget(self, child: Child) -> None:
        """The worker has ended."""
        self._detectors.pop(child.pid, None)
        self._to_kill.discard(child.pid)

    def _check(self) -> None:
        now = time.monotonic()
        busy = stalled = False
        for child in list(self._children()):
            detector = self._detectors.setdefault(child.pid, StallDetector(heartbeat=True))
            action = detector.check(child.read_page(), now, self._settings_of(child))
            busy = busy or detector.busy
            stalled = stalled or detector.stuck_s >= STALL_S
            if action is Finding.SIGNAL:
                child.signal(signal.SIGUSR2)
            elif action is Finding.OVERDUE and child.pid not in self._to_kill:
                self._dump(child)
        self._idle_checks = 0 if busy or stalled else self._idle_checks + 1
        pause = STALLED_S if stalled else BUSY_S if self._idle_checks < IDLE_AFTER_CHECKS else IDLE_S
        self._timer = self._loop.later(pause, self._check)

    def _dump(self, child: Child) -> None:
        self._to_kill.add(child.pid)
        sequence = child.read_page().sequence
        child.ask_for_stacks(lambda stacks: self._kill(child, sequence, stacks))

    def _kill(self, child: Child, sequence: int, stacks: str) -> None:
        if child.pid not in self._to_kill:
            return
        reading = child.read_page()
        if reading.sequence != sequence:
            self._to_kill.discard(child.pid)
            return
        settings = self._settings_of(child)
        fields = job_fields(reading, settings.functions)
        if not fields:
            fields["suspects"] = named(evidence(child, settings, "", stalled=True).suspects) or None
        text = f"worker {child.pid} has been blocked for {self.stalled_s(child):.1f} s; killing it"
        fields |= {"worker": child.pid, "stalled_s": round(self.stalled_s(child), 3), "stacks": stacks or None}
        logs.emit(log, logging.ERROR, "worker.killed", text, **fields)
        child.blocked_stacks = stacks
        self._on_kill(child, reading, stacks)
        child.kill(STALLED)
