"""Jobs that are known to have been there when a process died: refused, run apart, and cleared. Floor 3.

The supervisor knows of them and tells; see `supervisor.blame`. Law: a job that is blamed for too many deaths is not run.
Those that are only suspected are run, but of those suspected of several deaths no more at once than the supervisor says:
then a further death has fewer suspects. As soon as a result of such a job is reported it is a job like any other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gearpool.jobs import Job, job_key

if TYPE_CHECKING:
    from gearpool.worker.functions import Function
    from gearpool.worker.session import Session


class Note(NamedTuple):
    """What is known of one job.

    Attributes:
        kills: deaths it is blamed for.
        suspected: deaths of which it is one of the suspects.
    """

    kills: int
    suspected: int


Notes = dict[bytes, Note]
"""By identity (see `jobs.job_key`): what is known of the jobs of one function on one server. Empty as a rule."""
Reported = tuple[str, str, bytes]
"""Function, server, identity."""


class Suspects:
    """Runs the suspects of one pool.

    Args:
        functions: those of the pool by name.
        run: has a piece of work run in a greenlet.
        refuse: fails a job or writes its dead letter instead of running it.
        drop_slot: gives back the slot of a job that is not run here.

    Attributes:
        at_once: how many of those suspected of several deaths may run at once; None: all.
        on_reported: called with each job of which something was known, when a result is reported.
        on_server_lost: called with the name of a server that may have restarted.
    """

    def __init__(
        self,
        functions: dict[str, Function],
        run: Callable[[Callable[[], None]], None],
        refuse: Callable[[Session, Job, int], None],
        drop_slot: Callable[[Function], None],
    ) -> None:
        self._functions = functions
        self._refuse = refuse
        self._drop_slot = drop_slot
        self.at_once: int | None = None
        self.on_reported: Callable[[Reported], None] | None = None
        self.on_server_lost: Callable[[str], None] | None = None
        self._run = run
        self._waiting: deque[tuple[Session, Job]] = deque()
        self._running = 0
        self._draining = False

    def take_down(self, entries: Iterable[Sequence[Any]], at_once: int | None) -> None:
        """Note what the supervisor tells.

        Args:
            entries: function, server, identity, kills and suspected of each job; with zeros it is forgotten.
            at_once: see the attribute.
        """
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
        self._go_on()

    def knows_handles(self, server: str) -> bool:
        """Whether anything is known of jobs of ``server`` that have no unique id."""
        return any(key.startswith(b"h") for function in self._functions.values() for key in function.notes_of(server))

    def server_lost(self, server: str) -> None:
        """The server may have restarted, and give the handles it gave before to other jobs."""
        for function in self._functions.values():
            notes = function.notes_of(server)
            for key in [key for key in notes if key.startswith(b"h")]:
                del notes[key]
        if self.on_server_lost is not None:
            self.on_server_lost(server)

    def set_aside(self, session: Session, job: Job) -> None:
        """A job came that is not to be run at once: refuse it, or run it apart. It holds a slot."""
        note = session.notes.get(job_key(job.raw_handle, job.raw_unique))
        if note is None or note.kills >= session.function.settings.poison.kills:
            self._refuse(session, job, note.kills if note is not None else 0)
        elif note.suspected > 1:
            self._waiting.append((session, job))
            self._go_on()
            if self._draining:
                self.hand_back()
        else:
            self._run(lambda: session.run_again(job))

    def hand_back(self) -> None:
        """Draining: those that wait to be run apart are not begun any more."""
        self._draining = True
        waiting, self._waiting = self._waiting, deque()
        for session, _ in waiting:
            session.hand_back()
            self._drop_slot(session.function)

    def forget(self, session: Session) -> None:
        """The connection of ``session`` is gone: those that wait to be run apart come again, and give back their slots."""
        gone = [entry for entry in self._waiting if entry[0] is session]
        if gone:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not session)
            for _, job in gone:
                session.run_again(job)

    def _go_on(self) -> None:
        """Some may have become free to run."""
        while self._waiting and (self.at_once is None or self._running < self.at_once):
            session, job = self._waiting.popleft()
            self._running += 1
            self._run(lambda session=session, job=job: self._apart(session, job))  # type: ignore[misc] # bound

    def reported(self, notes: Notes, job: Job) -> None:
        """A result of ``job`` was reported, of which something may be known."""
        key = job_key(job.raw_handle, job.raw_unique)
        if notes.pop(key, None) is not None and self.on_reported is not None:
            self.on_reported((job.function, job.server, key))

    def _apart(self, session: Session, job: Job) -> None:
        try:
            session.run_again(job)
        finally:
            self._running -= 1
            self._go_on()
