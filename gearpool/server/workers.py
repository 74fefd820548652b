"""What workers say: what they can do, that they are free, how their jobs go. Pure.

Differences from gearmand 1.1.20, each for the better: CAN_DO twice registers once; with several functions on one
connection the highest priority goes first over all of them, and then they take turns; CAN_DO while asleep is answered
with NOOP when jobs wait; a NOOP that was answered with a bare PRE_SLEEP does not lose later ones; WORK_FAIL that stands
for an exception has no stray NUL; jobs handed back keep their order.

CAN_DO_TIMEOUT is CAN_DO: PROTOCOL says that a job over the limit fails, gearmand hands it out a second time while the
first still runs, tells nobody, and crashes on the second such job of a connection. Limits belong to workers.
"""

from __future__ import annotations

from collections.abc import Callable

from gearpool.errors import InvalidArgument
from gearpool.protocol import names
from gearpool.protocol.codec import response
from gearpool.protocol.packets import PacketType
from gearpool.server import replies
from gearpool.server.clients import name_problem
from gearpool.server.ledger import Ledger
from gearpool.server.peers import Peer
from gearpool.server.queues import FunctionQueue, Job


class WorkerRequests:
    """Answers workers from a ledger, and tells clients what they report."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    # What it can do

    def can_do(self, peer: Peer, arguments: list[bytes]) -> None:
        """CAN_DO, and CAN_DO_TIMEOUT without its time."""
        name = arguments[0]
        queue = self._ledger.functions.get(name)
        if queue is None:
            problem = name_problem(name)
            if problem:
                peer.send(problem)
                return
            queue = self._ledger.function(name)
        if peer in queue.workers:
            return
        queue.workers[peer] = None
        peer.queues.append(queue)
        if peer.asleep:
            queue.sleepers[peer] = None
            if queue.ready:
                _call(peer)

    def cant_do(self, peer: Peer, arguments: list[bytes]) -> None:
        """CANT_DO: its running jobs of this function are handed back at once, as gearmand does."""
        queue = self._ledger.functions.get(arguments[0])
        if queue is not None and peer in queue.workers:
            self._forget(peer, queue)
            self._hand_back(peer, queue)

    def reset_abilities(self, peer: Peer, _arguments: list[bytes]) -> None:
        """RESET_ABILITIES: CANT_DO of everything."""
        for queue in list(peer.queues):
            self._forget(peer, queue)
        self._hand_back(peer)

    def set_client_id(self, peer: Peer, arguments: list[bytes]) -> None:
        """SET_CLIENT_ID."""
        try:
            peer.name = names.client_id(arguments[0])
        except InvalidArgument as error:
            peer.send(replies.error(b"INVALID_ARGUMENT", str(error).encode()))

    # That it is free

    def pre_sleep(self, peer: Peer, _arguments: list[bytes]) -> None:
        """PRE_SLEEP: NOOP at once when there is work."""
        peer.asleep = True
        for queue in peer.queues:
            queue.sleepers[peer] = None
        if any(queue.ready for queue in peer.queues):
            _call(peer)

    def grab(self, peer: Peer, _arguments: list[bytes]) -> None:
        """GRAB_JOB."""
        self._grab(peer, replies.assign)

    def grab_all(self, peer: Peer, _arguments: list[bytes]) -> None:
        """GRAB_JOB_ALL."""
        self._grab(peer, replies.assign_all)

    def grab_uniq(self, peer: Peer, _arguments: list[bytes]) -> None:
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

    def grab_many(self, peer: Peer, count: int) -> None:
        """``count`` GRAB_JOB_UNIQ in a row: the same answers as one by one."""
        peer.asleep = False
        take, assign, out = self._ledger.take, replies.assign_uniq, peer.out
        if not out:
            peer.dirty.append(peer)
        for left in range(count, 0, -1):
            job = take(peer)
            if job is None:
                out.append(replies.NO_JOB * left)
                return
            out += assign(job)

    def grab_nothing(self, peer: Peer, _arguments: list[bytes]) -> None:
        """Any grab while the server stops."""
        peer.asleep = False
        peer.send(replies.NO_JOB)

    def _grab(self, peer: Peer, packet: Callable[[Job], tuple[bytes, ...]]) -> None:
        peer.asleep = False
        job = self._ledger.take(peer)
        if job is None:
            peer.send(replies.NO_JOB)
            return
        for part in packet(job):
            peer.send(part)

    # How its jobs go

    def work_data(self, peer: Peer, arguments: list[bytes]) -> None:
        """WORK_DATA."""
        self._report(peer, PacketType.WORK_DATA, arguments)

    def work_warning(self, peer: Peer, arguments: list[bytes]) -> None:
        """WORK_WARNING."""
        self._report(peer, PacketType.WORK_WARNING, arguments)

    def work_status(self, peer: Peer, arguments: list[bytes]) -> None:
        """WORK_STATUS: any text is forwarded, as in gearmand."""
        job = self._report(peer, PacketType.WORK_STATUS, arguments)
        if job is not None:
            job.progress = (arguments[1], arguments[2])

    def work_complete(self, peer: Peer, arguments: list[bytes]) -> None:
        """WORK_COMPLETE."""
        job = peer.running.get(arguments[0])
        if job is None:
            peer.send(replies.JOB_NOT_FOUND)
            return
        clients = job.clients
        if clients:
            packet = replies.work_complete(arguments)
            for client in clients:
                out = client.out
                if not out:
                    client.dirty.append(client)
                out.append(packet)
        self._ledger.end(job)

    def work_fail(self, peer: Peer, arguments: list[bytes]) -> None:
        """WORK_FAIL: the job has ended; the server never runs it again."""
        # Some libraries end the handle with a NUL.
        handle = arguments[0].removesuffix(b"\0")
        job = self._report(peer, PacketType.WORK_FAIL, [handle])
        if job is not None:
            self._ledger.end(job)

    def work_exception(self, peer: Peer, arguments: list[bytes]) -> None:
        """WORK_EXCEPTION: for clients that did not ask for exceptions it is WORK_FAIL. Ends the job."""
        job = peer.running.get(arguments[0])
        if job is None:
            peer.send(replies.JOB_NOT_FOUND)
            return
        exception = response(PacketType.WORK_EXCEPTION, *arguments)
        failure = response(PacketType.WORK_FAIL, job.handle)
        for client in job.clients or ():
            client.send(exception if client.exceptions else failure)
        self._ledger.end(job)

    def _report(self, peer: Peer, kind: PacketType, arguments: list[bytes]) -> Job | None:
        """Forward to all who wait, as often as they wait; only the owner may report."""
        job = peer.running.get(arguments[0])
        if job is None:
            peer.send(replies.JOB_NOT_FOUND)
            return None
        if job.clients:
            packet = response(kind, *arguments)
            for client in job.clients:
                client.send(packet)
        return job

    # That it is gone

    def leave(self, peer: Peer) -> None:
        """The connection has ended: its jobs are handed out again."""
        for queue in list(peer.queues):
            self._forget(peer, queue)
        self._hand_back(peer)

    def _hand_back(self, peer: Peer, queue: FunctionQueue | None = None) -> None:
        for job in [each for each in peer.running.values() if queue is None or each.queue is queue]:
            if not self._ledger.give_back(job):
                failure = response(PacketType.WORK_FAIL, job.handle)
                for client in job.clients or ():
                    client.send(failure)
                self._ledger.end(job)

    @staticmethod
    def _forget(peer: Peer, queue: FunctionQueue) -> None:
        del queue.workers[peer]
        queue.sleepers.pop(peer, None)
        peer.queues.remove(queue)
        peer.turn = 0


def wake(queue: FunctionQueue) -> None:
    """A job is there: NOOP to every sleeping worker of its function, once each, as gearmand does by default.

    All of them, because a worker that is called need not come: waking one alone could strand the job.
    """
    sleepers = list(queue.sleepers)
    queue.sleepers.clear()
    for peer in sleepers:
        if peer.asleep:
            _call(peer)


def _call(peer: Peer) -> None:
    peer.asleep = False
    peer.send(replies.NOOP)
