"""Writes dead letters: a job given up goes to a function of the same server, or to a file. Floor 3.

Law: the letter is acknowledged (JOB_CREATED) or fsynced before the job is failed. A letter that cannot be written fails
the letter, not the job: the job is handed back to the server instead. The file's format is `gearpool.deadfile`'s.
"""

from __future__ import annotations

import time
import traceback
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from gevent.event import AsyncResult

from gearpool import deadfile
from gearpool.jobs import Job
from gearpool.net.thread_pools import ThreadsOfOurOwn
from gearpool.protocol.names import function_name, unique_id
from gearpool.settings import DeadLetterSettings

if TYPE_CHECKING:
    from gearpool.worker.session import Session

ANSWER_S = 10.0
"""How long the server may take to acknowledge a letter."""
ANSWER_LOOKS = 10


class LetterFailed(Exception):
    """The letter could not be written; the job is not failed."""


class Letters:
    """Writes the letters of one pool. ``base`` is the folder relative paths start from."""

    def __init__(self, base: str) -> None:
        self._base = Path(base)
        self._threads: dict[Path, ThreadsOfOurOwn] = {}

    def write(
        self, to: DeadLetterSettings, session: Session, job: Job, reason: str, error: BaseException | None
    ) -> None:
        """Write one letter; waits, in a greenlet of its own.

        Raises:
            LetterFailed: it is not safely written.
        """
        if to.file is not None:
            details = "".join(traceback.format_exception(error)) if error is not None else ""
            letter = deadfile.Letter(
                payload=job.argument,
                function=job.function,
                unique=job.unique,
                handle=job.handle,
                server=job.server,
                attempts=job.attempt,
                error=reason,
                traceback=details,
                time=time.time(),
            )
            path = self._base / to.file
            # A native thread: fsync would stop every greenlet of the process. One a file, whose lock lets one write at a
            # time anyway: a file that hangs delays neither other files nor name look-ups nor handlers.
            threads = self._threads.setdefault(path, ThreadsOfOurOwn(1))
            try:
                threads.run(deadfile.append, path, letter)
            except Exception as failure:  # whatever it was, the job is to be handed back
                raise LetterFailed(f"{path}: {getattr(failure, 'strerror', None) or failure}") from failure
        else:
            assert to.function is not None
            answer = AsyncResult()
            # An id of its own kind, derived from the job's, so that a letter written twice is one job.
            unique = unique_id(uuid.uuid5(uuid.NAMESPACE_URL, f"{job.function}/{job.unique or job.handle}").hex)
            if not session.reports.submit_letter(function_name(to.function), unique, job.argument, answer):
                raise LetterFailed("the connection is gone")
            if not _is_answered(answer):
                raise LetterFailed(f"the server did not acknowledge the letter within {ANSWER_S:g} s")
            problem = answer.get()
            if problem is not None:
                raise LetterFailed(str(problem))


def _is_answered(answer: AsyncResult) -> bool:
    """Whether the server has answered in time; time in which this process was stopped or blocked does not count."""
    looks = ANSWER_LOOKS
    while looks:
        began = time.monotonic()
        answer.wait(timeout=ANSWER_S / ANSWER_LOOKS)
        if answer.ready():
            return True
        if time.monotonic() - began < 2 * ANSWER_S / ANSWER_LOOKS:
            looks -= 1
    return False
