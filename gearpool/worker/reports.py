"""What the jobs of one session report to its server. Floor 3.

Law: what was learned of a job goes to its own connection or nowhere: the server hands the job out again when that ends.
It does not know what a failure means (`verdicts` does).
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gearpool.jobs import Job
from gearpool.protocol.codec import request
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.worker.outbox import Outbox
from gearpool.worker.suspects import Notes

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool

STATUS_EVERY_S = 0.1

_HEAD = struct.Struct(">4sII")


def complete_head(size: int) -> bytes:
    """The header of a WORK_COMPLETE whose body, handle and NUL and result, has ``size`` bytes."""
    return _HEAD.pack(REQUEST_MAGIC, PacketType.WORK_COMPLETE, size)


class Reports:
    """Says what became of jobs; it is the `jobs.Reporter` of each.

    Args:
        pool: asked which jobs were reported without waiting for their handler.
        server: the server's name.
        outbox: where what is said goes.
        soon: called when something is to be sent in this turn of the loop.
        notes: what is known of jobs that were there when a process died; it is forgotten with their report.
    """

    def __init__(self, pool: Pool, server: str, outbox: Outbox, soon: Callable[[], None], notes: Notes) -> None:
        self._notes = notes
        self.server = server
        self._pool = pool
        self._outbox = outbox
        self._soon = soon
        self.streamed = 0
        """Parts, warnings and progress that were sent: each may be answered with an error."""
        self._letters: deque[Any] = deque()
        """Who waits for the JOB_CREATED of a dead letter, in the order of submission."""

    # The end of a job.

    def complete(self, job: Job, result: bytes) -> bool:
        """WORK_COMPLETE. False if the connection is gone, as with the three below."""
        handle = job.raw_handle
        # The NUL belongs there even when the result is empty.
        return self._end(job, complete_head(len(handle) + 1 + len(result)), handle, b"\0", result)

    def fail(self, job: Job) -> bool:
        """WORK_FAIL."""
        return self._end(job, request(PacketType.WORK_FAIL, job.raw_handle))

    def exception(self, job: Job, reason: bytes) -> bool:
        """WORK_EXCEPTION, which ends the job; no WORK_FAIL follows."""
        return self._end(job, request(PacketType.WORK_EXCEPTION, job.raw_handle, reason))

    def submit_letter(self, function: bytes, unique: bytes, payload: bytes, answer: Any) -> bool:
        """Submit a background job; ``answer.set(None)`` when the server has acknowledged it, ``.set(error)`` else."""
        if self._outbox.closed:
            return False
        self._letters.append(answer)
        return self._report(request(PacketType.SUBMIT_JOB_BG, function, unique, payload))

    def letter_answered(self, error: Exception | None) -> bool:
        """JOB_CREATED, or an ERROR, came. False if no letter waits for one."""
        if not self._letters:
            return False
        self._letters.popleft().set(error)
        return True

    # While it runs.

    def send_data(self, job: Job, data: bytes) -> None:
        """See `jobs.Reporter`. Waits while the server does not read."""
        self._stream_out(job, request(PacketType.WORK_DATA, job.raw_handle, data))

    def send_warning(self, job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        self._stream_out(job, request(PacketType.WORK_WARNING, job.raw_handle, data))

    def send_status(self, job: Job, numerator: int, denominator: int) -> None:
        """See `jobs.Reporter`. At most one each STATUS_EVERY_S, and the last."""
        now = time.monotonic()
        job.status = (numerator, denominator)
        if now - job.status_at < STATUS_EVERY_S and numerator < denominator:
            return
        job.status_at = now
        self._stream_out(job, request(PacketType.WORK_STATUS, job.raw_handle, b"%d" % numerator, b"%d" % denominator))

    def close(self, reason: str) -> None:
        """The connection is gone: whoever waits for a letter's answer hears ``reason``."""
        while self.letter_answered(ConnectionError(reason or "closed")):
            pass

    def _end(self, job: Job, *parts: bytes) -> bool:
        if self._notes and not self._outbox.closed:
            self._pool.suspects.reported(self._notes, job)
        return self._report(*parts)

    def _report(self, *parts: bytes) -> bool:
        if self._outbox.closed:
            return False
        self._outbox.parts += parts
        self._soon()
        return True

    def _stream_out(self, job: Job, packet: bytes) -> None:
        if self._outbox.closed or job in self._pool.abandoned:
            return
        self.streamed += 1
        self._outbox.parts.append(packet)
        self._outbox.flush()
        self._outbox.wait_for_room()
