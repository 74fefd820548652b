"""Answers administrators in the text protocol, from the ledger. Pure.

Better than gearmand: functions are listed in the order they were first named; a waiting job that is cancelled is removed
at once and its clients get WORK_FAIL; the result of a cancelled running job is discarded (gearmand sends its clients
WORK_FAIL and then the result); ``maxqueue`` makes the function, so that it takes effect before the first job;
``drop function`` always refuses while there are jobs or workers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import NamedTuple

from gearpool.protocol import admin
from gearpool.protocol.admin import Command, RefusedError, Request
from gearpool.protocol.codec import response
from gearpool.protocol.packets import PacketType
from gearpool.server.clients import name_problem
from gearpool.server.ledger import Ledger, TooManyFunctionsError
from gearpool.server.pacing import MIN_WORK, PIECE
from gearpool.server.records import HIGH, LOW, NEXT_PASS, NORMAL, FunctionQueue, Job, Peer

LINE_COST = 3
"""Units of work of a text command."""
_WALKED_PER_UNIT = 128
"""Entries that are walked over for one unit of work, before the first row of a list is made."""


class Listing(NamedTuple):
    """A reply of many rows, none of which is made yet.

    Attributes:
        entries: how many functions, jobs or connections are walked over when the first row is made.
        rows: the reply in pieces.
    """

    entries: int
    rows: Iterator[bytes]

    def send(self, peer: Peer) -> Iterator[int]:
        """Send it, some rows at each step; yields the work that each step cost."""
        walk = self.entries // _WALKED_PER_UNIT
        if walk > MIN_WORK:
            # Walking over a million jobs takes milliseconds, which this pass may not have: many may ask at once.
            yield NEXT_PASS
        peer.listing = self.entries
        cost = LINE_COST + walk
        while piece := b"".join(islice(self.rows, PIECE)):
            peer.send(piece)
            yield cost + PIECE // 2
            cost = 0
        peer.listing = 0


class AdminRequests:
    """Answers administrators.

    Args:
        ledger: the jobs.
        peers: every connection.
        version: what ``version`` answers.
        pid: what ``getpid`` answers.
    """

    def __init__(self, ledger: Ledger, peers: Collection[Peer], version: str, pid: int) -> None:
        self._ledger = ledger
        self._peers = peers
        self._version = version
        self._pid = pid

    def answer(self, line: bytes) -> bytes | Listing | None:
        """The reply to one line, a list in pieces; None: the connection is to be closed.

        A list may be longer than what can be made at once, so it is no snapshot: each row is as it was when its piece
        was made, and jobs that ended meanwhile are left out. Of those it holds no more than the handle.
        """
        try:
            request = admin.parse_request(line)
            return self._answer(request)
        except RefusedError as refused:
            return refused.reply

    def _answer(self, request: Request) -> bytes | Listing:
        functions = self._ledger.functions
        match request.command:
            case Command.STATUS:
                return Listing(len(functions), admin.format_counted(self._status()))
            case Command.PRIORITY_STATUS:
                return Listing(len(functions), admin.format_priority_status(self._priority_status()))
            case Command.WORKERS:
                return Listing(len(self._peers), admin.format_workers(self._workers()))
            case Command.SHOW_JOBS:
                rows = (
                    (job.handle, job.retries, not job.clients and not job.background, job.background)
                    for job in self._jobs()
                )
                return Listing(len(self._ledger.jobs), admin.format_counted(rows))
            case Command.SHOW_UNIQUE_JOBS:
                return Listing(len(self._ledger.jobs), admin.format_uniques(job.unique for job in self._jobs()))
            case Command.CANCEL_JOB:
                return self._cancel(request.arguments[0])
            case Command.CREATE_FUNCTION:
                self._function(request.arguments[0]).created = True
                return admin.OK
            case Command.DROP_FUNCTION:
                queue = functions.get(request.arguments[0])
                if queue is None:
                    return admin.NO_SUCH_FUNCTION
                return admin.OK if self._ledger.drop(queue) else admin.IN_USE
            case Command.MAXQUEUE:
                limits = admin.queue_limits(request.arguments)
                self._function(request.arguments[0]).limits = limits if any(limits) else None
                return admin.OK
            case Command.GETPID:
                return admin.ok(str(self._pid))
            case Command.VERBOSE:
                return admin.ok("ERROR")
            case Command.VERSION:
                return admin.ok(self._version)

    # Generator functions: they begin to walk when the first row is made, and not when they are called.

    def _status(self) -> Iterator[tuple[bytes, int, int, int]]:
        for each in list(self._ledger.functions.values()):
            yield each.name, each.total, each.running, len(each.workers)

    def _priority_status(self) -> Iterator[tuple[bytes, int, int, int, int]]:
        for each in list(self._ledger.functions.values()):
            yield each.name, each.queued(HIGH), each.queued(NORMAL), each.queued(LOW), len(each.workers)

    def _workers(self) -> Iterator[tuple[int, bytes, bytes, list[bytes]]]:
        for peer in list(self._peers):
            if not peer.closed:
                yield peer.fd, peer.address, peer.name, [queue.name for queue in peer.queues]

    def _jobs(self) -> Iterator[Job]:
        jobs = self._ledger.jobs
        # Handles and not the jobs, or an unread list would keep the payloads of jobs that have ended.
        for handle in list(jobs):
            if (job := jobs.get(handle)) is not None:
                yield job

    def _function(self, name: bytes) -> FunctionQueue:
        if name_problem(name):
            raise RefusedError(b"ERR INVALID_ARGUMENTS Function+name+too+large\r\n")
        try:
            return self._ledger.function(name)
        except TooManyFunctionsError as error:
            raise RefusedError(b"ERR TOO_MANY_FUNCTIONS\r\n") from error

    def _cancel(self, handle: bytes) -> bytes:
        job = self._ledger.jobs.get(handle)
        if job is None:
            return admin.NO_SUCH_JOB
        failure = response(PacketType.WORK_FAIL, handle)
        for client in job.clients or ():
            client.send(failure)
        self._ledger.cancel(job)
        return admin.OK
