"""Jobs that wait for their next attempt: they keep their handle and give back their slot. Floor 3.

Law: the server sees them as running, so nothing is lost if the process dies. A job whose connection is lost is
forgotten: the server hands it out again. Of each function at most `retry.max_waiting` wait without a slot; a further one
keeps its slot, so that a function whose every job fails stops grabbing instead of hoarding.
"""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING, Any

from gevent.hub import get_hub

from gearpool.jobs import Job, is_named
from gearpool.timing import LONGEST_NAP_S

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool
    from gearpool.worker.session import Session


class Waiting:
    """One job that waits for its time and then for a slot."""

    def __init__(self, retries: Retries, session: Session, job: Job, *, holds_slot: bool) -> None:
        self.session = session
        self.job = job
        self.holds_slot = holds_slot
        self.function_slots = session.function.slots
        self._retries = retries

    def feed(self) -> None:
        """There may be a slot for it: see `slots.Hungry`."""
        self._retries.begin(self)


class Retries:
    """All that wait in one pool, by the time they are due; one timer for the first."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._heap: list[tuple[float, int, Waiting]] = []
        self._order = itertools.count()
        self._timer: Any = None
        self._due_at = 0.0
        self._ready: set[Waiting] = set()

    def __len__(self) -> int:
        return len(self._heap) + len(self._ready)

    def add(self, session: Session, job: Job, delay_s: float, *, holds_slot: bool) -> None:
        """Run ``job`` again ``delay_s`` from now."""
        due = time.monotonic() + delay_s
        heapq.heappush(self._heap, (due, next(self._order), Waiting(self, session, job, holds_slot=holds_slot)))
        session.function.waiting += 1
        if self._timer is None or due < self._due_at:
            self._set(due)

    def jobs(self) -> list[tuple[Job, float]]:
        """Who waits, with seconds to go."""
        now = time.monotonic()
        waiting = [(entry.job, max(0.0, due - now)) for due, _, entry in self._heap]
        return waiting + [(entry.job, 0.0) for entry in self._ready]

    def hand_back(self) -> None:
        """Draining: nobody waits any longer; their connections end without a report of them."""
        entries = [entry for _, _, entry in self._heap] + list(self._ready)
        self._heap.clear()
        self._ready.clear()
        self._stop()
        for entry in entries:
            self._forget(entry)
            entry.session.hand_back()

    def forget(self, session: Session) -> None:
        """The connection of ``session`` is gone: the server hands out again what came over it."""
        gone = [entry for _, _, entry in self._heap if entry.session is session]
        gone += [entry for entry in self._ready if entry.session is session]
        if not gone:
            return
        self._heap = [each for each in self._heap if each[2].session is not session]
        heapq.heapify(self._heap)
        self._ready.difference_update(gone)
        for entry in gone:
            self._forget(entry)
        self._pool.settled(len(gone))

    def take(self, name: str) -> Waiting | None:
        """Have the job that ``name`` stands for (see `jobs.is_named`) wait no longer; None if none of them does."""
        entries = [entry for _, _, entry in self._heap] + list(self._ready)
        found = next((entry for entry in entries if is_named(entry.job, name)), None)
        if found is not None:
            self._heap = [each for each in self._heap if each[2] is not found]
            heapq.heapify(self._heap)
            self._ready.discard(found)
            self._forget(found)
        return found

    def begin(self, entry: Waiting) -> None:
        """Its time has come: run it if there is a slot, else when there is one."""
        if entry not in self._ready:
            return
        pool = self._pool
        if not entry.holds_slot and not pool.slots.reserve(entry, 1):
            return
        self._ready.discard(entry)
        session = entry.session
        session.function.waiting -= 1
        entry.job.attempt += 1
        job = entry.job
        pool.crew.run(lambda: session.run_again(job))

    def _forget(self, entry: Waiting) -> None:
        entry.session.function.waiting -= 1
        self._pool.slots.forget(entry)
        if entry.holds_slot:
            self._pool.drop_slot(entry.session.function)

    def _set(self, due: float) -> None:
        self._stop()
        self._due_at = due
        self._timer = get_hub().loop.timer(min(max(0.0, due - time.monotonic()), LONGEST_NAP_S))
        self._timer.start(self._expired, update=True)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _expired(self) -> None:
        self._stop()
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)[2]
            self._ready.add(entry)
            self.begin(entry)
        if self._heap:
            self._set(self._heap[0][0])
