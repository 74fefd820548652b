"""Writes dead letters: jobs that are given up go to another function on the same server, or to a file. Floor 3.

Invariant: a dead letter is acknowledged (JOB_CREATED) or fsynced before the job is failed. If that is not possible, the job
is handed back to the server instead. `gearpool.dead_letter_file` defines the file format.
"""

from __future__ import annotations

import time
import traceback
import uuid
from pathlib import Path

from gevent.event import AsyncResult

from gearpool import dead_letter_file
from gearpool.jobs import Job
from gearpool.net.thread_pools import ThreadsOfOurOwn
from gearpool.protocol.names import function_name, unique_id
from gearpool.settings import DeadLetterSettings
from gearpool.worker.replies import Replies

ANSWER_S = 10.0
"""How long the server may take to acknowledge a dead letter."""
ANSWER_CHECKS = 10
"""How often the answer is checked in this time, to detect that this process was blocked."""


class DeadLetterFailed(Exception):
    """The dead letter could not be written, so the job is not failed."""


class DeadLetters:
    """Writes the dead letters of one process. Relative paths refer to the folder ``base``."""

    def __init__(self, base: str) -> None:
        self._base = Path(base)
        self._threads: dict[Path, ThreadsOfOurOwn] = {}

    def write(
        self, to: DeadLetterSettings, replies: Replies, job: Job, reason: str, error: BaseException | None
    ) -> None:
        """Write one dead letter; blocks the greenlet until it is stored.

        Raises:
            DeadLetterFailed: it may not be stored.
        """
        if to.file is not None:
            details = "".join(traceback.format_exception(error)) if error is not None else ""
            letter = dead_letter_file.Letter(
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
            # In a native thread, because fsync would block the event loop. One thread per file, since the file's lock allows
            # one writer anyway: a file that hangs delays neither other files nor DNS look-ups nor handlers.
            threads = self._threads.setdefault(path, ThreadsOfOurOwn(1))
            try:
                threads.run(dead_letter_file.append, path, letter)
            except Exception as failure:  # whatever it is, the job must be handed back
                raise DeadLetterFailed(f"{path}: {getattr(failure, 'strerror', None) or failure}") from failure
        else:
            assert to.function is not None
            answer = AsyncResult()
            # Derived from the job's id, so that a dead letter submitted twice becomes one job.
            unique = unique_id(uuid.uuid5(uuid.NAMESPACE_URL, f"{job.function}/{job.unique or job.handle}").hex)
            if not replies.submit_dead_letter(function_name(to.function), unique, job.argument, answer):
                raise DeadLetterFailed("the connection is closed")
            if not _is_answered(answer):
                raise DeadLetterFailed(f"the server did not acknowledge the dead letter within {ANSWER_S:g} s")
            problem = answer.get()
            if problem is not None:
                raise DeadLetterFailed(str(problem))


def _is_answered(answer: AsyncResult) -> bool:
    """Whether the answer arrives in time, without counting time in which this process was stopped or blocked."""
    checks = ANSWER_CHECKS
    while checks:
        began = time.monotonic()
        answer.wait(timeout=ANSWER_S / ANSWER_CHECKS)
        if answer.ready():
            return True
        if time.monotonic() - began < 2 * ANSWER_S / ANSWER_CHECKS:
            checks -= 1
    return False
