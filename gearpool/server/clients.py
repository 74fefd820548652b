"""Answers clients: submissions and status. Pure.

Where gearmand 1.1.20 gives no answer or a useless one, this one answers: a time that is no number gets ERROR (gearmand
says nothing, and the connection is lost for good), a unique id of 64 bytes coalesces like any other, and function names
that would break the text protocol or a worker's connection are refused when they are submitted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gearpool.protocol.codec import response
from gearpool.protocol.names import MAX_FUNCTION
from gearpool.protocol.packets import PacketType
from gearpool.server import replies
from gearpool.server.ledger import Ledger, QueueFullError, TooManyFunctionsError
from gearpool.server.records import NORMAL, FunctionQueue, Job, Peer, Work

MAX_UNIQUE = 64
"""gearmand refuses 65 bytes; at 64 it does not coalesce. A sha256 in hexadecimal has 64."""

Handler = Callable[[Peer, list[bytes]], Work]

_LATEST = float(2**53)
_digits = re.compile(rb"\s*([0-9]+)")


class RefusedError(Exception):
    """A request is refused; ``reply`` is the ERROR."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class ClientRequests:
    """Answers clients from a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def submitter(self, priority: int, *, background: bool) -> Handler:
        """The handler of SUBMIT_JOB, _HIGH, _LOW or one of their _BG.

        A function made for each of the six, because this is the costliest packet of a job: it saves two calls.
        """
        functions, add, prepared, prepare = (
            self._ledger.functions,
            self._ledger.submit,
            replies.CREATED_HEADS,
            self._prepare,
        )

        def submit(peer: Peer, arguments: list[bytes]) -> None:
            function, unique, data = arguments
            queue = functions.get(function)
            try:
                if queue is None or len(unique) > MAX_UNIQUE:
                    queue = prepare(function, unique)
                handle = add(queue, unique, data, priority, None if background else peer).handle
            except RefusedError as refused:
                peer.send(refused.reply)
                return
            except QueueFullError:
                peer.send(replies.QUEUE_FULL)
                return
            out = peer.out
            if not out:
                peer.dirty.append(peer)
            out.append(prepared[len(handle)] + handle)

        return submit

    def submit_epoch(self, peer: Peer, arguments: list[bytes]) -> None:
        """SUBMIT_JOB_EPOCH: in the background, not before a time in seconds since 1970."""
        function, unique, epoch, data = arguments
        if not epoch.isdigit() or len(epoch) > 20 or int(epoch) > _LATEST:
            peer.send(replies.BAD_EPOCH)
            return
        self._submit(peer, function, unique, data, None, due=float(epoch))

    def submit_reduce(self, peer: Peer, arguments: list[bytes]) -> None:
        """SUBMIT_REDUCE_JOB. Its fourth field is ignored, as in gearmand."""
        function, unique, reducer, _aggregate, data = arguments
        self._submit(peer, function, unique, data, peer, reducer)

    def submit_reduce_background(self, peer: Peer, arguments: list[bytes]) -> None:
        """SUBMIT_REDUCE_JOB_BACKGROUND."""
        function, unique, reducer, _aggregate, data = arguments
        self._submit(peer, function, unique, data, None, reducer)

    def refuse(self, peer: Peer, _arguments: list[bytes]) -> None:
        """Any submission while the server stops."""
        peer.send(replies.STOPPING)

    def get_status(self, peer: Peer, arguments: list[bytes]) -> None:
        """GET_STATUS: five zeros when it has ended, was lost or never existed."""
        handle = arguments[0]
        job = self._ledger.jobs.get(handle)
        if job is None:
            peer.send(response(PacketType.STATUS_RES, handle.partition(b"\0")[0], b"0", b"0", b"0", b"0"))
            return
        peer.send(response(PacketType.STATUS_RES, handle, b"1", *_state(job)))

    def get_status_unique(self, peer: Peer, arguments: list[bytes]) -> Work:
        """GET_STATUS_UNIQUE: of the first function that has it; the last number is how many clients wait."""
        unique = arguments[0]
        for job in self._ledger.by_unique(unique):
            waiting = b"%d" % sum(job.waiting().values())
            peer.send(response(PacketType.STATUS_RES_UNIQUE, unique, b"1", *_state(job), waiting))
            return len(self._ledger.functions) // 16 + len(job.waiting()) // 16
        name = unique.partition(b"\0")[0]
        peer.send(response(PacketType.STATUS_RES_UNIQUE, name, b"0", b"0", b"0", b"0", b"0"))
        return len(self._ledger.functions) // 16

    def _submit(
        self,
        peer: Peer,
        function: bytes,
        unique: bytes,
        data: bytes,
        client: Peer | None,
        reducer: bytes = b"",
        due: float | None = None,
    ) -> None:
        try:
            queue = self._prepare(function, unique)
            job = self._ledger.submit(queue, unique, data, NORMAL, client, reducer, due)
        except RefusedError as refused:
            peer.send(refused.reply)
        except QueueFullError:
            peer.send(replies.QUEUE_FULL)
        else:
            peer.send(response(PacketType.JOB_CREATED, job.handle))

    def _prepare(self, function: bytes, unique: bytes) -> FunctionQueue:
        if len(unique) > MAX_UNIQUE:
            raise RefusedError(replies.UNIQUE_TOO_LARGE)
        return self._ledger.functions.get(function) or new_function(self._ledger, function)


def new_function(ledger: Ledger, name: bytes) -> FunctionQueue:
    """A function that is not known yet.

    Raises:
        RefusedError: it cannot have this name, or there are too many.
    """
    problem = name_problem(name)
    if problem:
        raise RefusedError(problem)
    try:
        return ledger.function(name)
    except TooManyFunctionsError as error:
        raise RefusedError(replies.TOO_MANY_FUNCTIONS) from error


def name_problem(function: bytes) -> bytes:
    """The ERROR for a new function's name; empty if it is fine.

    Spaces and tabs are let through as gearmand does: Perl's ``prefix`` makes ``dev<TAB>foo``. A line end would break the
    rows of the text protocol for every administrator (gearmand accepts it), and an empty name looks like none.
    """
    if len(function) > MAX_FUNCTION:
        return replies.error(b"ARGUMENT_TOO_LARGE", b"Function name too large")
    if not function or b"\n" in function or b"\r" in function:
        return replies.error(b"INVALID_FUNCTION_NAME", b"Function name is empty or has a line end")
    return b""


def _state(job: Job) -> tuple[bytes, bytes, bytes]:
    """Whether it runs, and its progress as numbers: workers may send any text, gearmand reads what digits it begins with."""
    running = b"0" if job.worker is None else b"1"
    numerator, denominator = (_digits.match(each) for each in job.progress or (b"", b""))
    return running, numerator[1] if numerator else b"0", denominator[1] if denominator else b"0"
