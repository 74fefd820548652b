"""Sends the reports of one session's jobs, and counts those it still owes its server. Floor 3.

Invariant: a job is reported on the connection on which it was received, or not at all: when that connection ends, the
server hands the job out again. `verdicts` decides what is reported for a failure.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gearpool.jobs import Job
from gearpool.page import Activity, tagged
from gearpool.protocol.codec import request
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.worker.functions import Function, Notes
from gearpool.worker.outbox import Outbox

STATUS_EVERY_S = 0.1

_HEAD = struct.Struct(">4sII")


def complete_head(size: int) -> bytes:
    """The header of a WORK_COMPLETE whose body (handle, NUL and result) has ``size`` bytes."""
    return _HEAD.pack(REQUEST_MAGIC, PacketType.WORK_COMPLETE, size)


class Replies:
    """The reports of one session; it is the `jobs.Reporter` of its jobs.

    Args:
        server: the server's name.
        server_index: the server's index in the configuration.
        soon: called to have the outbox flushed in this iteration of the event loop.
        hand_back: called when a job is left to the server: the session must end as soon as its other jobs have ended.
        run_again: runs a job in the calling greenlet of the greenlet pool; the job has a slot.
        is_abandoned: whether a job was reported without waiting for its handler.
        on_reported: called with the notes and each job on which there may be one, when it is reported.

    Attributes:
        tag: function and server, as the shared page shows them.
        notes: on jobs that ran when a process died; removed when the job is reported.
        unreported: jobs outside of the batch that are not reported: running in a greenlet of their own, waiting for a
            retry, or handed back.
        handed_back: how many of those will not be reported: the server hands them out again when the connection ends.
        acknowledgements: results to set when JOB_CREATED for a dead letter arrives, in the order of submission.
        streamed: the number of data, warning and status packets sent; the server may answer each with an error.
    """

    def __init__(
        self,
        function: Function,
        server: str,
        server_index: int,
        outbox: Outbox,
        *,
        soon: Callable[[], None],
        hand_back: Callable[[], None],
        run_again: Callable[[Job], None],
        is_abandoned: Callable[[Job], bool],
        on_reported: Callable[[Notes, Job], None],
    ) -> None:
        self.function = function
        self.server = server
        self.server_index = server_index
        self.tag = tagged(function.index, Activity.JOB, server_index)
        self.notes = function.notes_of(server)
        self.outbox = outbox
        self.unreported = 0
        self.handed_back = 0
        self.streamed = 0
        self.run_again = run_again
        self._soon = soon
        self._hand_back = hand_back
        self._is_abandoned = is_abandoned
        self._on_reported = on_reported
        self.acknowledgements: deque[Any] = deque()

    @property
    def closed(self) -> bool:
        """Whether the connection is closed; later reports are discarded."""
        return self.outbox.closed

    @property
    def all_reported(self) -> bool:
        """Whether every job is reported or handed back, so that the connection may end."""
        return self.unreported <= self.handed_back

    def hand_back(self) -> None:
        """Leave one unreported job to the server, which hands it out again when the connection ends.

        Gearman has no packet to return a single job, and CANT_DO would return all of them.
        """
        self.handed_back += 1
        self._hand_back()

    # The end of a job.

    def complete(self, job: Job, result: bytes) -> bool:
        """Send WORK_COMPLETE. False if the connection is closed; likewise `fail` and `exception`."""
        handle = job.raw_handle
        # The NUL is required even if the result is empty.
        return self._end(job, complete_head(len(handle) + 1 + len(result)), handle, b"\0", result)

    def fail(self, job: Job) -> bool:
        """Send WORK_FAIL."""
        return self._end(job, request(PacketType.WORK_FAIL, job.raw_handle))

    def exception(self, job: Job, reason: bytes) -> bool:
        """Send WORK_EXCEPTION, which ends the job without a WORK_FAIL."""
        return self._end(job, request(PacketType.WORK_EXCEPTION, job.raw_handle, reason))

    def submit_dead_letter(self, function: bytes, unique: bytes, payload: bytes, answer: Any) -> bool:
        """Submit a background job; ``answer.set(None)`` when the server has acknowledged it, else ``.set(error)``."""
        if self.outbox.closed:
            return False
        self.acknowledgements.append(answer)
        return self._report(request(PacketType.SUBMIT_JOB_BG, function, unique, payload))

    def dead_letter_answered(self, error: Exception | None) -> bool:
        """Handle JOB_CREATED or ERROR. False if no dead letter is waiting for it."""
        if not self.acknowledgements:
            return False
        self.acknowledgements.popleft().set(error)
        return True

    # While it runs.

    def send_data(self, job: Job, data: bytes) -> None:
        """See `jobs.Reporter`. Blocks while the server does not read."""
        self._stream_out(job, request(PacketType.WORK_DATA, job.raw_handle, data))

    def send_warning(self, job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        self._stream_out(job, request(PacketType.WORK_WARNING, job.raw_handle, data))

    def send_status(self, job: Job, numerator: int, denominator: int) -> None:
        """See `jobs.Reporter`. Sends at most one per STATUS_EVERY_S, and the final one."""
        now = time.monotonic()
        job.status = (numerator, denominator)
        if now - job.status_at < STATUS_EVERY_S and numerator < denominator:
            return
        job.status_at = now
        self._stream_out(job, request(PacketType.WORK_STATUS, job.raw_handle, b"%d" % numerator, b"%d" % denominator))

    def close(self, reason: str) -> None:
        """The connection is closed: unacknowledged dead letters fail with a ConnectionError with ``reason``."""
        while self.dead_letter_answered(ConnectionError(reason or "closed")):
            pass

    def _end(self, job: Job, *parts: bytes) -> bool:
        if self.notes and not self.outbox.closed:
            self._on_reported(self.notes, job)
        return self._report(*parts)

    def _report(self, *parts: bytes) -> bool:
        if self.outbox.closed:
            return False
        self.outbox.parts += parts
        self._soon()
        return True

    def _stream_out(self, job: Job, packet: bytes) -> None:
        if self.outbox.closed or self._is_abandoned(job):
            return
        self.streamed += 1
        self.outbox.parts.append(packet)
        self.outbox.flush()
        self.outbox.wait_for_room()
