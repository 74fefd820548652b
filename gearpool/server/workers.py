"""Answers workers: their abilities, their grabs, their reports. Pure.

Improvements on gearmand 1.1.20: CAN_DO twice registers once; with several functions on one
connection the highest priority goes first over all of them, and then they alternate; CAN_DO while asleep is answered
with NOOP when jobs wait; a NOOP that was answered with a bare PRE_SLEEP does not lose later ones; WORK_FAIL that stands
for an exception has no stray NUL; jobs handed back keep their order.

CAN_DO_TIMEOUT is CAN_DO: PROTOCOL says that a job over the limit fails, gearmand hands it out a second time while the
first still runs, without any notice, and crashes on the second such job of a connection. Limits belong to workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gearpool.errors import InvalidArgument
from gearpool.protocol import names
from gearpool.protocol.codec import response
from gearpool.protocol.packets import PacketType
from gearpool.server import replies
from gearpool.server.clients import RefusedError, new_function
from gearpool.server.ledger import Ledger
from gearpool.server.pacing import PIECE
from gearpool.server.records import BULKY, FunctionQueue, Job, Peer, Work

MAX_ABILITIES = 4096
"""Limit of functions of one connection: each grab and each sleep walks over them."""

_GRABBED_AT_ONCE = 1024 * 1024
"""Payload bytes handed out for one run of grabs before the rest waits for the next pass."""

_KEPT_DIGITS = 20
"""Characters of a WORK_STATUS number kept for GET_STATUS; it is forwarded as it is."""


class WorkerRequests:
    """Answers workers from a ledger, and forwards their reports to clients."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    # Its abilities

    def can_do(self, peer: Peer, arguments: list[bytes]) -> None:
        """CAN_DO, and CAN_DO_TIMEOUT without its time."""
        name = arguments[0]
        queue = self._ledger.functions.get(name)
        if queue is None:
            try:
                queue = new_function(self._ledger, name)
            except RefusedError as refused:
                peer.send(refused.reply)
                return
        if peer in queue.workers:
            return
        if len(peer.queues) >= MAX_ABILITIES:
            peer.send(replies.TOO_MANY_FUNCTIONS)
            return
        queue.workers[peer] = None
        peer.queues.append(queue)
        if peer.asleep:
            queue.sleepers[peer] = None
            if queue.ready:
                _call(peer)

    def cant_do(self, peer: Peer, arguments: list[bytes]) -> Work:
        """CANT_DO: its running jobs of this function are handed back at once, as gearmand does."""
        queue = self._ledger.functions.get(arguments[0])
        if queue is not None and peer in queue.workers:
            peer.queues.remove(queue)
            self._forget(peer, queue)
            self._ledger.left_by_worker(1)
            if peer.running:
                return self._hand_back(peer, queue)
            return _walked(peer)
        return None

    def reset_abilities(self, peer: Peer, _arguments: list[bytes]) -> Work:
        """RESET_ABILITIES: CANT_DO of everything."""
        return self.leave(peer) if peer.queues or peer.running else None

    def set_client_id(self, peer: Peer, arguments: list[bytes]) -> None:
        """SET_CLIENT_ID."""
        try:
            peer.name = names.client_id(arguments[0])
        except InvalidArgument as error:
            peer.send(replies.error(b"INVALID_ARGUMENT", str(error).encode()))

    # Its grabs

    def pre_sleep(self, peer: Peer, _arguments: list[bytes]) -> Work:
        """PRE_SLEEP: NOOP at once when there is work."""
        peer.asleep = True
        for queue in peer.queues:
            queue.sleepers[peer] = None
        if any(queue.ready for queue in peer.queues):
            _call(peer)
        return _walked(peer)

    def grab(self, peer: Peer, _arguments: list[bytes]) -> Work:
        """GRAB_JOB."""
        return self._grab(peer, replies.assign)

    def grab_all(self, peer: Peer, _arguments: list[bytes]) -> Work:
        """GRAB_JOB_ALL."""
        return self._grab(peer, replies.assign_all)

    def grab_uniq(self, peer: Peer, _arguments: list[bytes]) -> Work:
        """GRAB_JOB_UNIQ."""
        peer.asleep = False
        job = self._ledger.take(peer)
        out = peer.out
        if not out:
            peer.dirty.append(peer)
        if job is None:
            out.append(replies.NO_JOB)
        else:
            out += replies.assign_uniq(job)
            if len(job.data) > _PER_UNIT:
                return _lend(peer, job)
        return _walked(peer) if len(peer.queues) > 1 else None

    def grab_many(self, peer: Peer, count: int) -> int:
        """``count`` GRAB_JOB_UNIQ in a row: the same answers as one by one. How many are left for later."""
        room = _GRABBED_AT_ONCE
        peer.asleep = False
        take, heads, out = self._ledger.take, replies.ASSIGN_UNIQ_HEADS, peer.out
        prepared = len(heads)
        if not out:
            peer.dirty.append(peer)
        for left in range(count, 0, -1):
            job = take(peer)
            if job is None:
                out.append(replies.NO_JOB * left)
                return 0
            # What `replies.assign_uniq` does for a small payload; written out, because this runs for each job.
            body = b"\0".join((job.handle, job.queue.name, job.unique, job.data))
            size = len(body)
            if size < prepared:
                out.append(heads[size] + body)
                continue
            out += replies.assign_uniq(job)
            _lend(peer, job)
            room -= size
            if room < 0:
                return left - 1
        return 0

    def grab_nothing(self, peer: Peer, _arguments: list[bytes]) -> None:
        """Any grab while the server stops."""
        peer.asleep = False
        peer.send(replies.NO_JOB)

    def _grab(self, peer: Peer, packet: Callable[[Job], tuple[bytes, ...]]) -> Work:
        peer.asleep = False
        job = self._ledger.take(peer)
        if job is None:
            peer.send(replies.NO_JOB)
            return _walked(peer)
        for part in packet(job):
            peer.send(part)
        return _lend(peer, job) + len(peer.queues) // _WALKED_PER_UNIT

    # Its reports

    def work_data(self, peer: Peer, arguments: list[bytes]) -> Work:
        """WORK_DATA."""
        return self._report(peer, PacketType.WORK_DATA, arguments)

    def work_warning(self, peer: Peer, arguments: list[bytes]) -> Work:
        """WORK_WARNING."""
        return self._report(peer, PacketType.WORK_WARNING, arguments)

    def work_status(self, peer: Peer, arguments: list[bytes]) -> Work:
        """WORK_STATUS: any text is forwarded, as in gearmand."""
        job = peer.running.get(arguments[0])
        if job is not None:
            job.progress = (arguments[1][:_KEPT_DIGITS], arguments[2][:_KEPT_DIGITS])
        return self._report(peer, PacketType.WORK_STATUS, arguments)

    def work_complete(self, peer: Peer, arguments: list[bytes]) -> Work:
        """WORK_COMPLETE."""
        job = peer.running.get(arguments[0])
        if job is None:
            peer.send(replies.JOB_NOT_FOUND)
            return None
        clients = job.clients
        cost = None
        if clients:
            body = b"\0".join(arguments)
            size = len(body)
            packet = (_COMPLETE_HEADS[size] if size < _PREPARED else replies.work_complete_head(size)) + body
            if type(clients) is dict:
                cost = _tell(job, packet)
            else:
                (client,) = clients
                out = client.out
                if not out:
                    client.dirty.append(client)
                out.append(packet)
        self._ledger.end(job)
        return cost

    def work_fail(self, peer: Peer, arguments: list[bytes]) -> Work:
        """WORK_FAIL: the job has ended; the server never runs it again."""
        # Some libraries end the handle with a NUL.
        handle = arguments[0].removesuffix(b"\0")
        job = peer.running.get(handle)
        cost = self._report(peer, PacketType.WORK_FAIL, [handle])
        if job is not None:
            self._ledger.end(job)
        return cost

    def work_exception(self, peer: Peer, arguments: list[bytes]) -> Work:
        """WORK_EXCEPTION: for clients that did not ask for exceptions it is WORK_FAIL. Ends the job."""
        job = peer.running.get(arguments[0])
        if job is None:
            peer.send(replies.JOB_NOT_FOUND)
            return None
        exception = response(PacketType.WORK_EXCEPTION, *arguments)
        cost = _tell(job, exception, response(PacketType.WORK_FAIL, job.handle))
        self._ledger.end(job)
        return cost

    def _report(self, peer: Peer, kind: PacketType, arguments: list[bytes]) -> Work:
        """Forward to all waiting clients, as often as each submitted it; only the worker that runs it may report."""
        job = peer.running.get(arguments[0])
        if job is None:
            peer.send(replies.JOB_NOT_FOUND)
            return None
        return _tell(job, response(kind, *arguments)) if job.clients else None

    # The end of its connection

    def leave(self, peer: Peer) -> Iterator[int]:
        """It can do nothing any more, and its jobs are handed out again: a piece at each step, yielding its cost."""
        queues, peer.queues = peer.queues, []
        for queue in queues:
            self._forget(peer, queue)
        self._ledger.left_by_worker(len(queues))
        yield len(queues) // 4
        yield from self._hand_back(peer)

    def _hand_back(self, peer: Peer, queue: FunctionQueue | None = None) -> Iterator[int]:
        jobs = [each for each in peer.running.values() if queue is None or each.queue is queue]
        yield (len(peer.running) + len(peer.queues)) // _WALKED_PER_UNIT
        for at in range(0, len(jobs), PIECE):
            cost = 0
            for job in jobs[at : at + PIECE]:
                cost += 1
                # Meanwhile it may have ended: the piece before may be long ago.
                if job.worker is peer and not self._ledger.give_back(job):
                    cost += _tell(job, response(PacketType.WORK_FAIL, job.handle)) or 0
                    self._ledger.end(job)
            yield cost

    @staticmethod
    def _forget(peer: Peer, queue: FunctionQueue) -> None:
        del queue.workers[peer]
        queue.sleepers.pop(peer, None)
        peer.next_queue = 0


_COMPLETE_HEADS = replies.heads(PacketType.WORK_COMPLETE)
_PREPARED = len(_COMPLETE_HEADS)

_PER_UNIT = 4096
"""Bytes of payload whose copying counts as one unit of work."""

_WALKED_PER_UNIT = 16
"""Functions or jobs that are walked over for one unit of work."""


def _lend(peer: Peer, job: Job) -> int:
    """A payload is handed out; what copying it costs. From a size on it is not copied: `Peer.lent`."""
    size = len(job.data)
    if size >= BULKY:
        peer.lent += size
    return size // _PER_UNIT


def _walked(peer: Peer) -> int | None:
    """What a walk over all its functions cost."""
    count = len(peer.queues)
    return count // _WALKED_PER_UNIT if count > _WALKED_PER_UNIT else None


def _tell(job: Job, packet: bytes, without_exceptions: bytes = b"") -> int | None:
    """Send to all waiting clients, as often as each submitted it; ``without_exceptions`` to those without the option."""
    sent = 0
    for client, count in job.waiting().items():
        out = client.out
        if not out:
            client.dirty.append(client)
        data = packet if client.exceptions or not without_exceptions else without_exceptions
        out.extend((data,) * count)
        sent += count
    return sent // 4 if sent > 4 else None


def waker(most: int = 0) -> Callable[[FunctionQueue], None]:
    """What calls sleeping workers when a job is there: ``most`` of them, 0: all.

    All by default, as with gearmand: a worker that is called need not come, so waking one alone could strand the job.
    """

    def wake(queue: FunctionQueue) -> None:
        sleepers = queue.sleepers
        seen = []
        called = 0
        for peer in sleepers:
            seen.append(peer)
            if peer.asleep:
                _call(peer)
                called += 1
                if called == most:
                    break
        if len(seen) == len(sleepers):
            sleepers.clear()
        else:
            for peer in seen:
                del sleepers[peer]

    return wake


def _call(peer: Peer) -> None:
    peer.asleep = False
    peer.send(replies.NOOP)
