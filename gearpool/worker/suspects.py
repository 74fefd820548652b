"""Handles jobs that ran when a process died: refuses them, runs few of them at once, or clears them. Floor 3.

The supervisor sends notes on these jobs (`supervisor.blame`). A job that is blamed for too many deaths is not run. Jobs
suspected of several deaths are run, but only as many at once as the supervisor allows, so that the next death has fewer
suspects. The note is removed once the job is reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gearpool.jobs import Job, job_key
from gearpool.worker.admission import Admission
from gearpool.worker.functions import Function, Note, Notes
from gearpool.worker.replies import Replies

Reported = tuple[str, str, bytes]
"""Function, server and job key."""


class Suspects:
    """The suspects of one process.

    Args:
        run: runs a piece of work in a greenlet.
        refuse: fails a job, or writes its dead letter, instead of running it.

    Attributes:
        at_once: how many jobs suspected of several deaths may run at once; None without limit.
        on_reported: called with each job that had a note, when it is reported.
        on_server_lost: called with the name of a server that may have restarted.
    """

    def __init__(
        self,
        functions: dict[str, Function],
        admission: Admission,
        run: Callable[[Callable[[], None]], None],
        refuse: Callable[[Replies, Job, int], None],
    ) -> None:
        self._functions = functions
        self._admission = admission
        self._refuse = refuse
        self.at_once: int | None = None
        self.on_reported: Callable[[Reported], None] | None = None
        self.on_server_lost: Callable[[str], None] | None = None
        self._run = run
        self._waiting: deque[tuple[Replies, Job]] = deque()
        self._running = 0
        self._draining = False

    def set_notes(self, entries: Iterable[Sequence[Any]], at_once: int | None) -> None:
        """Set `at_once` and the notes on some jobs: function, server, job key, kills, suspected; zeros remove a note."""
        for name, server, text, kills, suspected in entries:
            function = self._functions.get(name)
            if function is None:
                continue
            key = str(text).encode("utf-8", "surrogateescape")
            if kills or suspected:
                function.notes_of(server)[key] = Note(kills, suspected)
            else:
                function.notes_of(server).pop(key, None)
        self.at_once = at_once
        self._run_next()

    def knows_handles(self, server: str) -> bool:
        """Whether there are notes on jobs of ``server`` without a unique id."""
        return any(key.startswith(b"h") for function in self._functions.values() for key in function.notes_of(server))

    def server_lost(self, server: str) -> None:
        """The server may have restarted and reuse its handles: remove the notes on jobs by their handles."""
        for function in self._functions.values():
            notes = function.notes_of(server)
            for key in [key for key in notes if key.startswith(b"h")]:
                del notes[key]
        if self.on_server_lost is not None:
            self.on_server_lost(server)

    def set_aside(self, replies: Replies, job: Job) -> None:
        """Take a job with a note, which has a slot: refuse it, or run it as soon as allowed."""
        note = replies.notes.get(job_key(job.raw_handle, job.raw_unique))
        if note is None or note.kills >= replies.function.settings.poison.kills:
            self._refuse(replies, job, note.kills if note is not None else 0)
        elif note.suspected > 1:
            self._waiting.append((replies, job))
            self._run_next()
            if self._draining:
                self.hand_back()
        else:
            self._run(lambda: replies.run_again(job))

    def hand_back(self) -> None:
        """The process is draining: leave the waiting jobs to their servers."""
        self._draining = True
        waiting, self._waiting = self._waiting, deque()
        for replies, _ in waiting:
            replies.hand_back()
            self._admission.release(replies.function.slots)

    def forget(self, replies: Replies) -> None:
        """The connection of ``replies`` is closed: forget its waiting jobs and release their slots."""
        removed = [entry for entry in self._waiting if entry[0] is replies]
        if removed:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not replies)
            for _, job in removed:
                replies.run_again(job)

    def _run_next(self) -> None:
        """Run as many of the waiting jobs as allowed."""
        while self._waiting and (self.at_once is None or self._running < self.at_once):
            replies, job = self._waiting.popleft()
            self._running += 1
            self._run(lambda replies=replies, job=job: self._run_alone(replies, job))  # type: ignore[misc] # bound

    def reported(self, notes: Notes, job: Job) -> None:
        """``job`` is reported: remove its note, if any."""
        key = job_key(job.raw_handle, job.raw_unique)
        if notes.pop(key, None) is not None and self.on_reported is not None:
            self.on_reported((job.function, job.server, key))

    def _run_alone(self, replies: Replies, job: Job) -> None:
        try:
            replies.run_again(job)
        finally:
            self._running -= 1
            self._run_next()
