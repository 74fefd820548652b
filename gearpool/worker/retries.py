"""Holds jobs until their next attempt, without their slot. Floor 3.

For the server they are still running, so no job is lost if the process dies; when its connection is lost, a job is
forgotten and the server hands it out again. At most `retry.max_waiting` jobs of a function wait without a slot. Any further
job keeps its slot, so that a function whose every job fails stops grabbing instead of emptying the queue.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

from gearpool.jobs import Job, is_named
from gearpool.timing import MAX_WAIT_S
from gearpool.worker.admission import Admission
from gearpool.worker.replies import Replies


class WaitingJob:
    """A job that waits until its next attempt is due, and then for a slot."""

    def __init__(self, retries: Retries, replies: Replies, job: Job, *, holds_slot: bool) -> None:
        self.replies = replies
        self.job = job
        self.holds_slot = holds_slot
        self.function_slots = replies.function.slots
        self._retries = retries

    def on_slots(self) -> None:
        """See `admission.Waiter`."""
        self._retries.begin(self)


class Retries:
    """All jobs of a process that wait for their next attempt, with one timer.

    Args:
        run: runs a piece of work in a greenlet.
    """

    def __init__(self, admission: Admission, run: Callable[[Callable[[], None]], None]) -> None:
        self._admission = admission
        self._run = run
        self._heap: list[tuple[float, int, WaitingJob]] = []
        self._order = itertools.count()
        self._timer: Any = None
        self._due_at = 0.0
        self._ready: set[WaitingJob] = set()

    def __len__(self) -> int:
        return len(self._heap) + len(self._ready)

    def add(self, replies: Replies, job: Job, delay_s: float, *, holds_slot: bool) -> None:
        """Run ``job`` again ``delay_s`` from now."""
        due = time.monotonic() + delay_s
        heapq.heappush(self._heap, (due, next(self._order), WaitingJob(self, replies, job, holds_slot=holds_slot)))
        replies.function.waiting += 1
        if self._timer is None or due < self._due_at:
            self._set(due)

    def jobs(self) -> list[tuple[Job, float]]:
        """The waiting jobs, each with the seconds until it is due."""
        now = time.monotonic()
        waiting = [(entry.job, max(0.0, due - now)) for due, _, entry in self._heap]
        return waiting + [(entry.job, 0.0) for entry in self._ready]

    def hand_back(self) -> None:
        """The process is draining: leave all waiting jobs to their servers."""
        entries = self.entries()
        self._heap.clear()
        self._ready.clear()
        self._stop()
        for entry in entries:
            self._forget(entry)
            entry.replies.hand_back()

    def forget(self, replies: Replies) -> None:
        """The connection of ``replies`` is closed: forget its jobs, which the server hands out again."""
        gone = [entry for entry in self.entries() if entry.replies is replies]
        if gone:
            self._remove(gone)
            self._admission.jobs_ended(len(gone))

    def take(self, name: str) -> WaitingJob | None:
        """Remove and return the waiting job called ``name`` (see `jobs.is_named`); None if there is none."""
        found = next((entry for entry in self.entries() if is_named(entry.job, name)), None)
        if found is not None:
            self._remove([found])
        return found

    def begin(self, entry: WaitingJob) -> None:
        """The next attempt of ``entry`` is due: run it as soon as there is a slot."""
        if entry not in self._ready:
            return
        if not entry.holds_slot and not self._admission.reserve(entry, 1):
            return
        self._ready.discard(entry)
        replies, job = entry.replies, entry.job
        replies.function.waiting -= 1
        job.attempt += 1
        self._run(lambda: replies.run_again(job))

    def entries(self) -> list[WaitingJob]:
        """All waiting jobs: those that are not due yet, and those that wait for a slot."""
        return [entry for _, _, entry in self._heap] + list(self._ready)

    def _remove(self, gone: list[WaitingJob]) -> None:
        removed = set(gone)
        self._heap = [each for each in self._heap if each[2] not in removed]
        heapq.heapify(self._heap)
        self._ready -= removed
        for entry in gone:
            self._forget(entry)

    def _forget(self, entry: WaitingJob) -> None:
        entry.replies.function.waiting -= 1
        self._admission.forget(entry)
        if entry.holds_slot:
            self._admission.release(entry.function_slots)

    def _set(self, due: float) -> None:
        self._stop()
        self._due_at = due
        self._timer = get_hub().loop.timer(min(max(0.0, due - time.monotonic()), MAX_WAIT_S))
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
