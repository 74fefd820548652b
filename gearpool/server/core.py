"""The job server without sockets: bytes of any connection in, bytes for any connection out. Pure.

Nothing here blocks, reads a clock or touches a socket; the caller passes the time. Whatever bytes arrive, the core can serve
the next connection. A call does about as much work as its budget allows, in units of `gearpool.server.pacing`; the rest
stays in the peer's backlog and is served by `Core.advance`.

Malformed input: a wrong magic, an unknown type, too few arguments or a body over the limit close the connection without an
answer, as gearmand does (the reason goes to our log). A connection that begins with the magic of replies first gets ERROR
INVALID_MAGIC (gearmand sends it and continues): such a peer is a server, or out of step. Packets that clients and workers
must not send get ERROR INVALID_COMMAND, and the connection stays open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from operator import length_hint
from typing import NamedTuple

from gearpool.errors import RemoteProtocolError
from gearpool.protocol.admin import MAX_LINE
from gearpool.protocol.codec import DEFAULT_MAX_PACKET, request, response
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.server import replies
from gearpool.server.admin import LINE_COST, AdminRequests
from gearpool.server.clients import ClientRequests, Handler
from gearpool.server.ledger import JobStore, Ledger
from gearpool.server.lines import LINE, Lines
from gearpool.server.pacing import MAX_WORK, PIECE
from gearpool.server.records import HIGH, LOW, NEXT_PASS, NORMAL, NOTHING, Job, Peer, Work
from gearpool.server.workers import WorkerRequests, waker

_T = PacketType

# A worker with many free slots sends hundreds of these at once; such a run is served without decoding each.
_GRAB = request(PacketType.GRAB_JOB_UNIQ)
_PRE_SLEEP = request(PacketType.PRE_SLEEP)
_WORTH_IT = 4 * len(_GRAB)


class Totals(NamedTuple):
    """The numbers of one function, for status reports."""

    total: int
    running: int
    workers: int


class Core:
    """All connections of one server, and its jobs.

    Args:
        host: what handles are made of: ``H:HOST:NUMBER``; cut so that a handle stays short.
        handle_prefix: handles are ``PREFIX:NUMBER`` instead, as gearmand's ``--job-handle-prefix`` makes them.
        first_handle: the first number.
        job_retries: how often a job is run at most when its workers vanish; 0: for ever.
        max_packet: largest body in bytes that is taken.
        version: the reply to the text command ``version``.
        pid: the reply to ``getpid``.
        job_store: keeps background jobs over a restart.
        exceptions: clients get WORK_EXCEPTION without asking for it (gearmand's ``--exceptions``).
        worker_wakeup: how many sleeping workers are called for a job; 0: all (gearmand's ``--worker-wakeup``).

    Attributes:
        dirty: peers with something to send.
        work: units of work done so far.
    """

    def __init__(
        self,
        *,
        host: str = "localhost",
        handle_prefix: str | None = None,
        first_handle: int = 1,
        job_retries: int = 0,
        max_packet: int = DEFAULT_MAX_PACKET,
        version: str = "0",
        pid: int = 0,
        job_store: JobStore | None = None,
        exceptions: bool = False,
        worker_wakeup: int = 0,
    ) -> None:
        prefix = b"H:%b:" % host.encode("ascii", "replace")[:32].replace(b" ", b"-")
        if handle_prefix is not None:
            prefix = handle_prefix.encode() + b":"
        self.ledger: Ledger = Ledger(prefix, first_handle, job_retries, waker(worker_wakeup), job_store)
        self.peers: dict[Peer, None] = {}
        self.dirty: list[Peer] = []
        self.work: int = 0
        self._exceptions = exceptions
        self._leaving: deque[Iterator[int]] = deque()
        self._max_packet = max_packet
        self._clients = ClientRequests(self.ledger)
        self._workers = WorkerRequests(self.ledger)
        self._admin = AdminRequests(self.ledger, self.peers, version, pid)
        self._draining = False
        self._handlers = self._table()

    def connect(self, address: str = "", fd: int = -1) -> Peer:
        """A new connection from ``address``; ``fd`` is only shown to administrators."""
        peer = Peer(self.dirty, address.encode("ascii", "replace"), fd, self._max_packet)
        peer.exceptions = self._exceptions
        self.peers[peer] = None
        return peer

    def receive(self, peer: Peer, data: bytes, budget: int = MAX_WORK) -> str | None:
        """Serve what was received, or start to: while the peer is ``behind``, read no more and call `advance`.

        Returns:
            None, or why the connection must be closed once what is in its ``out`` has been sent.
        """
        if peer.spoken is not False:
            if peer.spoken is None:
                # The first byte decides for good: the binary protocol begins with NUL.
                peer.spoken = data[0] != 0
                if data.startswith(RESPONSE_MAGIC):
                    peer.send(replies.INVALID_MAGIC)
                    return "it sends the server's side of the protocol"
            if peer.spoken:
                return self._receive_text(peer, data, budget)
        at = _run_of_grabs(data)
        if len(data) - at < _WORTH_IT or self._draining or len(peer.queues) != 1:
            return self._feed(peer, data, budget)
        problem = self._feed(peer, data[:at], budget) if at else None
        if peer.problem is not None:
            return problem
        if peer.decoder.missing or peer.behind:
            # It only resembles packets, being part of a payload; or others come first.
            waiting = peer.backlog
            self._feed(peer, data[at:], 0)
            peer.backlog = iter([*waiting, *peer.backlog])
            return self.advance(peer, budget)
        sleeps = data.endswith(_PRE_SLEEP)
        count = (len(data) - at) // len(_GRAB) - sleeps
        left = self._workers.grab_many(peer, count)
        self.work += (count - left) // 2
        if left:
            rest: list[tuple[int, list[bytes]]] = [(_T.GRAB_JOB_UNIQ, [])] * left
            peer.backlog = iter([*rest, (_T.PRE_SLEEP, [])] if sleeps else rest)
            peer.behind = True
        elif sleeps:
            self._workers.pre_sleep(peer, [])
        return None

    def _feed(self, peer: Peer, data: bytes, budget: int) -> str | None:
        try:
            packets = peer.decoder.feed(data)
        except RemoteProtocolError as error:
            packets = error.packets  # type: ignore[assignment]  # errors knows no packets, being below them
            peer.problem = str(error)
        peer.backlog = iter(packets)
        return self.advance(peer, budget)

    def advance(self, peer: Peer, budget: int = MAX_WORK) -> str | None:
        """Serve from the backlog of a connection, with about this much work; returns as `receive` does."""
        extra = self._continue(peer, budget) if peer.task is not None else 0
        backlog = peer.backlog
        before = length_hint(backlog)
        if peer.task is None and budget > extra:
            handlers = self._handlers
            for kind, arguments in islice(backlog, budget - extra):
                more = handlers[kind](peer, arguments)
                if more is None:
                    continue
                if isinstance(more, int):
                    extra += more
                else:
                    peer.task = more
                    extra += self._continue(peer, budget - extra)
                    if peer.task is not None:
                        break
                if extra >= budget:
                    break
        left = length_hint(backlog)
        self.work += before - left + extra
        if left or peer.task is not None:
            peer.behind = True
            return None
        peer.behind = False
        return peer.problem

    @staticmethod
    def _continue(peer: Peer, budget: int) -> int:
        """Continue the request under way; returns the work done."""
        done = 0
        for cost in peer.task or ():
            if cost == NEXT_PASS:
                return done
            done += cost
            if done >= budget:
                return done
        peer.task = None
        return done

    def disconnect(self, peer: Peer, budget: int = MAX_WORK) -> None:
        """The connection is gone: hand back its jobs, and drop waiting jobs that only it wanted.

        Very many jobs are handled in parts: then `leaving` is true until `advance_leaving` has handled the rest.
        """
        if peer.closed:
            return
        peer.closed = True
        del self.peers[peer]
        peer.backlog, peer.task, peer.behind = NOTHING, None, False
        self._leaving.append(self._leave(peer))
        if len(self._leaving) == 1:
            self.advance_leaving(budget)

    @property
    def leaving(self) -> bool:
        """Whether jobs of connections that are gone are still to be handed back or dropped."""
        return bool(self._leaving)

    def advance_leaving(self, budget: int = MAX_WORK) -> None:
        """Hand back and drop more of the jobs of connections that are gone, with about this much work."""
        done = 0
        while self._leaving:
            for cost in self._leaving[0]:
                done += cost
                if done >= budget:
                    self.work += done
                    return
            self._leaving.popleft()
        self.work += done

    def _leave(self, peer: Peer) -> Iterator[int]:
        jobs = list(peer.watching.values())
        for at in range(0, len(jobs), PIECE):
            for job in jobs[at : at + PIECE]:
                if job.handle in peer.watching:
                    self.ledger.leave(job, peer)
            yield PIECE
        peer.watching.clear()
        yield from self._workers.leave(peer)
        peer.alone = ()

    @property
    def running(self) -> int:
        """How many jobs are running."""
        return sum(queue.running for queue in self.ledger.functions.values())

    def totals(self) -> dict[str, Totals]:
        """Numbers by function."""
        return {
            queue.name.decode("utf-8", "surrogateescape"): Totals(queue.total, queue.running, len(queue.workers))
            for queue in self.ledger.functions.values()
        }

    def take_back(self, handles: list[bytes]) -> None:
        """These background jobs cannot be kept: replace the replies of this pass, which are not sent yet, by QUEUE_ERROR.

        None of them runs: one that was assigned in this pass is taken back from its worker, which gets NO_JOB.
        """
        promises = {replies.CREATED_HEADS[len(handle)] + handle for handle in handles}
        for peer in self.dirty:
            peer.out[:] = [replies.NOT_KEPT if packet in promises else packet for packet in peer.out]
        assigned: dict[Peer, list[Job]] = {}
        for handle in handles:
            job = self.ledger.jobs.get(handle)
            if job is None:
                continue
            if job.clients:
                # Others wait for it.
                job.background = False
                continue
            if job.worker is None:
                self.ledger.cancel(job)
            else:
                assigned.setdefault(job.worker, []).append(job)
        for worker, jobs in assigned.items():
            replies.withdraw(jobs, worker.out)
            for job in jobs:
                self.ledger.end(job)

    def drain(self) -> None:
        """From now on hand out and accept no jobs; running jobs may end."""
        self._draining = True
        handlers = self._handlers
        for kind in PacketType:
            if kind.name.startswith("SUBMIT_") and kind is not _T.SUBMIT_JOB_SCHED:
                handlers[kind] = self._clients.refuse
            elif kind.name.startswith("GRAB_"):
                handlers[kind] = self._workers.grab_nothing

    def _receive_text(self, peer: Peer, data: bytes, budget: int) -> str | None:
        data = peer.line + data
        end = data.rfind(b"\n") + 1
        peer.line = data[end:]
        if len(peer.line) > MAX_LINE:
            peer.problem = "a text command without an end"
        peer.backlog = Lines(data[:end])
        return self.advance(peer, budget)

    def _answer_line(self, peer: Peer, arguments: list[bytes]) -> Work:
        reply = self._admin.answer(arguments[0])
        if isinstance(reply, bytes):
            peer.send(reply)
            return LINE_COST
        if reply is None:
            peer.problem = "a text command of more than five words"
            # What it sent after that is not served.
            if isinstance(peer.backlog, Lines):
                peer.backlog.clear()
            return None
        return reply.send(peer)

    def _table(self) -> list[Handler]:
        """The handlers by packet type; a type that is not named is not for the server."""
        clients, workers = self._clients, self._workers
        table: list[Handler] = [_unexpected] * (max(PacketType) + 1)
        named: dict[PacketType, Handler] = {
            _T.CAN_DO: workers.can_do,
            _T.CAN_DO_TIMEOUT: workers.can_do,
            _T.CANT_DO: workers.cant_do,
            _T.RESET_ABILITIES: workers.reset_abilities,
            _T.SET_CLIENT_ID: workers.set_client_id,
            _T.PRE_SLEEP: workers.pre_sleep,
            _T.GRAB_JOB: workers.grab,
            _T.GRAB_JOB_UNIQ: workers.grab_uniq,
            _T.GRAB_JOB_ALL: workers.grab_all,
            _T.WORK_DATA: workers.work_data,
            _T.WORK_WARNING: workers.work_warning,
            _T.WORK_STATUS: workers.work_status,
            _T.WORK_COMPLETE: workers.work_complete,
            _T.WORK_FAIL: workers.work_fail,
            _T.WORK_EXCEPTION: workers.work_exception,
            _T.SUBMIT_JOB: clients.submitter(NORMAL, background=False),
            _T.SUBMIT_JOB_HIGH: clients.submitter(HIGH, background=False),
            _T.SUBMIT_JOB_LOW: clients.submitter(LOW, background=False),
            _T.SUBMIT_JOB_BG: clients.submitter(NORMAL, background=True),
            _T.SUBMIT_JOB_HIGH_BG: clients.submitter(HIGH, background=True),
            _T.SUBMIT_JOB_LOW_BG: clients.submitter(LOW, background=True),
            _T.SUBMIT_JOB_EPOCH: clients.submit_epoch,
            _T.SUBMIT_REDUCE_JOB: clients.submit_reduce,
            _T.SUBMIT_REDUCE_JOB_BACKGROUND: clients.submit_reduce_background,
            _T.GET_STATUS: clients.get_status,
            _T.GET_STATUS_UNIQUE: clients.get_status_unique,
            _T.ECHO_REQ: _echo,
            _T.OPTION_REQ: _option,
        }
        for kind, handler in named.items():
            table[kind] = handler
        table[LINE] = self._answer_line
        return table


def _run_of_grabs(data: bytes) -> int:
    """Where a run of GRAB_JOB_UNIQ begins that ends ``data``, with or without a PRE_SLEEP behind it."""
    at = len(data)
    if data.endswith(_PRE_SLEEP):
        at -= len(_PRE_SLEEP)
    size = len(_GRAB)
    end = at
    while at >= size and data.startswith(_GRAB, at - size):
        at -= size
    return at if at < end else len(data)


def _unexpected(peer: Peer, _arguments: list[bytes]) -> None:
    peer.send(replies.INVALID_COMMAND)


def _echo(peer: Peer, arguments: list[bytes]) -> None:
    peer.send(response(PacketType.ECHO_RES, *arguments))


def _option(peer: Peer, arguments: list[bytes]) -> None:
    if arguments[0] == b"exceptions":
        peer.exceptions = True
        peer.send(response(PacketType.OPTION_RES, b"exceptions"))
    else:
        peer.send(replies.UNKNOWN_OPTION)
