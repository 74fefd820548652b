"""Every job of the server and its state: submitted, waiting, running, ended. Pure; knows no packet.

Invariant between two calls: a job is in ``jobs`` from its submission to its end; in a queue or in the schedule exactly
while no worker runs it, and in its worker's ``running`` exactly while one does.

It avoids known faults of gearmand: a job that its last waiting client left is removed altogether (in gearmand its unique id
stays blocked until a worker pulls it, and a background submission that had coalesced is lost with it), a cancelled job
leaves the counts, dropped functions leave no blocked unique ids, and EPOCH jobs wake workers when they are due.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

from gearpool.server.records import BULKY, FunctionQueue, Job, Peer

PAYLOAD_IS_KEY = b"-"
"""The unique id that coalesces jobs of equal payload (gearmand)."""

KEEP_IDLE = 1024
"""Functions without jobs, workers or settings that are still listed; beyond that the oldest are forgotten."""

MAX_FUNCTIONS = 20_000
"""Limit of functions, each some 3 KiB; walking over all of them takes milliseconds."""

_AT_ONCE = 1024
"""How many jobs `Ledger.release_due` queues in one call."""


class QueueFullError(Exception):
    """The queue is full (``maxqueue``)."""


class TooManyFunctionsError(Exception):
    """There are `MAX_FUNCTIONS` functions, none of them idle."""


class JobStore(Protocol):
    """Keeps background jobs over a restart."""

    def keep(self, job: Job, due: float | None) -> None:
        """Keep a background job that runs not before ``due`` (seconds since 1970; None: at once)."""

    def forget(self, job: Job) -> None:
        """The job has ended."""


class Ledger:
    """All jobs and functions.

    Args:
        handle_prefix: what handles begin with, such as ``b"H:host:"``; a number follows.
        first_handle: the first number. A server that never uses a number twice, not even after a restart, spares its
            clients the surprise of gearmand, whose old handles name other people's jobs.
        job_retries: how often a job is run at most; 0 for ever.
        wake: called with a function that has become ready and has sleepers.
        job_store: keeps background jobs; None: they are not kept.
        max_functions: how many functions there may be at once.
    """

    def __init__(
        self,
        handle_prefix: bytes,
        first_handle: int,
        job_retries: int,
        wake: Callable[[FunctionQueue], None],
        job_store: JobStore | None = None,
        max_functions: int = MAX_FUNCTIONS,
    ) -> None:
        self.jobs: dict[bytes, Job] = {}
        self.functions: dict[bytes, FunctionQueue] = {}
        self._max_functions = max_functions
        self._sweep_at = min(2 * KEEP_IDLE, max_functions)
        self._refusals = 0
        self.job_retries = job_retries
        self._prefix = handle_prefix
        self._next = first_handle
        self._wake = wake
        self._job_store = job_store
        self._schedule: list[tuple[float, int, Job]] = []
        # Jobs of one moment keep the order of their submission.
        self._tickets = itertools.count()
        self._due: dict[bytes, float] = {}

    def function(self, name: bytes) -> FunctionQueue:
        """The function of this name, made when it is new.

        Raises:
            TooManyFunctionsError: there is no room for one more.
        """
        queue = self.functions.get(name)
        if queue is None:
            if len(self.functions) >= self._sweep_at:
                self._forget_idle()
            queue = self.functions[name] = FunctionQueue(name)
        return queue

    def _forget_idle(self) -> None:
        """Forget idle functions, the oldest first, but for the last `KEEP_IDLE`; costs little on average."""
        if self._refusals > 0:
            self._refusals -= 1
            raise TooManyFunctionsError
        idle = [queue.name for queue in self.functions.values() if queue.idle]
        keep = min(KEEP_IDLE, self._max_functions // 2)
        for name in idle[: max(0, len(idle) - keep)]:
            del self.functions[name]
        there = len(self.functions)
        if there >= self._max_functions:
            # All in use: searching again for each refused one would take milliseconds each.
            self._refusals = there // 8
            raise TooManyFunctionsError
        self._sweep_at = min(self._max_functions, max(2 * KEEP_IDLE, 2 * there))

    def left_by_worker(self, functions: int) -> None:
        """A worker serves fewer functions: some may be idle now."""
        self._refusals -= 8 * functions

    def submit(
        self,
        queue: FunctionQueue,
        unique: bytes,
        data: bytes,
        priority: int,
        client: Peer | None,
        reducer: bytes = b"",
        due: float | None = None,
    ) -> Job:
        """A new job, or the one it is joined to: then the first payload and priority hold.

        Args:
            queue: the function.
            unique: as sent; empty: never joined, ``-``: joined by payload.
            data: the payload.
            priority: HIGH, NORMAL or LOW.
            client: the client that waits for it; None: background.
            reducer: for GRAB_JOB_ALL.
            due: not before this time (seconds since 1970); None: now.

        Raises:
            QueueFullError: too many jobs of this function, and it is none of them.
        """
        key: Hashable = None
        if unique:
            key = (data,) if unique == PAYLOAD_IS_KEY else unique
            job = queue.keys.get(key)
            if job is not None:
                self._join(job, client)
                return job
        if queue.limits is not None and 0 < queue.limits[priority] <= queue.total:
            raise QueueFullError
        number = self._next
        self._next = number + 1
        handle = self._prefix + str(number).encode()
        if client is None:
            job = Job(handle, queue, unique, key, data, priority, True, ())
        else:
            job = Job(handle, queue, unique, key, data, priority, False, client.alone)
            client.watching[handle] = job
        self.jobs[handle] = job
        if key is not None:
            queue.keys[key] = job
        if reducer:
            job.reducer = reducer
        if client is None and self._job_store is not None:
            self._job_store.keep(job, due)
        if due is not None:
            self._put_off(job, due)
            return job
        queue.lanes[priority].append(job)
        if queue.sleepers:
            self._wake(queue)
        return job

    def restore(
        self,
        handle: bytes,
        function: bytes,
        unique: bytes,
        priority: int,
        due: float | None,
        reducer: bytes,
        data: bytes,
    ) -> None:
        """A background job of an earlier run, under its old handle. Nobody is connected yet."""
        queue = self.function(function)
        key: Hashable = None
        if unique:
            key = (data,) if unique == PAYLOAD_IS_KEY else unique
            if key in queue.keys:
                # Two that should have been joined: both run, and the first is joined to.
                key = None
        job = self.jobs[handle] = Job(handle, queue, unique, key, data, priority, True, ())
        job.reducer = reducer
        if key is not None:
            queue.keys[key] = job
        number = handle.rpartition(b":")[2]
        # gearmand's and ours have fewer than 20 digits; of thousands Python makes no number.
        if number.isdigit() and len(number) < 20:
            # The clock may have been set back since.
            self._next = max(self._next, int(number) + 1)
        if due is not None:
            self._put_off(job, due)
        else:
            queue.lanes[priority].append(job)

    def take(self, peer: Peer) -> Job | None:
        """Assign the next job that ``peer`` can do: the highest priority over all its functions, which alternate."""
        queues = peer.queues
        if len(queues) == 1:
            queue = queues[0]
            job = queue.pop()
        else:
            job = self._next_in_turn(peer)
        if job is not None:
            job.worker = peer
            peer.running[job.handle] = job
            job.queue.running += 1
        return job

    @staticmethod
    def _next_in_turn(peer: Peer) -> Job | None:
        queues, count, first = peer.queues, len(peer.queues), peer.next_queue
        for priority in range(3):
            for at in range(first, first + count):
                queue = queues[at % count]
                if queue.lanes[priority]:
                    job = queue.pop_priority(priority)
                    if job is not None:
                        peer.next_queue = (at + 1) % count
                        return job
        return None

    def end(self, job: Job) -> None:
        """The running job has ended, or is no more."""
        handle = job.handle
        del self.jobs[handle]
        queue = job.queue
        queue.running -= 1
        if job.key is not None:
            del queue.keys[job.key]
        if job.background and self._job_store is not None:
            self._job_store.forget(job)
        worker, job.worker = job.worker, None
        if worker is not None:
            del worker.running[handle]
            if worker.lent and len(job.data) >= BULKY:
                worker.lent -= len(job.data)
        for client in job.clients or ():
            client.watching.pop(handle, None)
        job.clients = None

    def give_back(self, job: Job) -> bool:
        """The running job's worker is gone: to the tail of its priority, progress forgotten.

        Returns:
            False when it has been run often enough (``job_retries``): the caller reports this to the clients and calls
            `end`. True otherwise; a job that no client wants any more has ended silently.
        """
        if not job.clients and not job.background:
            self.end(job)
            return True
        job.retries += 1
        if self.job_retries and job.retries >= self.job_retries:
            return False
        worker, job.worker = job.worker, None
        if worker is not None:
            del worker.running[job.handle]
            if worker.lent and len(job.data) >= BULKY:
                worker.lent -= len(job.data)
        job.progress = None
        queue = job.queue
        queue.running -= 1
        queue.lanes[job.priority].append(job)
        if queue.sleepers:
            self._wake(queue)
        return True

    def leave(self, job: Job, client: Peer) -> None:
        """``client`` no longer waits. A waiting job that no other client wants is dropped; a running one continues."""
        if isinstance(job.clients, dict):
            job.clients.pop(client, None)
        elif job.clients is not None:
            job.clients = ()
        if not job.clients and not job.background and job.worker is None:
            self._remove_waiting(job)

    def cancel(self, job: Job) -> None:
        """Nobody wants it: a waiting job is gone, a running one runs on and its result is thrown away.

        Its unique id is free at once: submitting it again makes a new job.
        """
        for client in job.clients or ():
            client.watching.pop(job.handle, None)
        if job.background and self._job_store is not None:
            self._job_store.forget(job)
        job.background = False
        if job.worker is None:
            self._remove_waiting(job)
            return
        job.clients = ()
        if job.key is not None:
            del job.queue.keys[job.key]
            job.key = None

    def release_due(self, now: float) -> None:
        """Queue the jobs whose time (seconds since 1970) has come; of very many, some, and `next_due` is past."""
        schedule = self._schedule
        for _ in range(_AT_ONCE):
            if not schedule or (schedule[0][2].clients is not None and schedule[0][0] > now):
                return
            job = heapq.heappop(schedule)[2]
            if self._due.pop(job.handle, None) is None:
                continue
            queue = job.queue
            queue.scheduled -= 1
            queue.lanes[job.priority].append(job)
            if queue.sleepers:
                self._wake(queue)

    @property
    def next_due(self) -> float | None:
        """When `release_due` has something to do next, in seconds since 1970."""
        return self._schedule[0][0] if self._schedule else None

    def by_unique(self, unique: bytes) -> Iterator[Job]:
        """The jobs of all functions with this unique id."""
        for queue in self.functions.values():
            job = queue.keys.get(unique)
            if job is not None:
                yield job

    def drop(self, queue: FunctionQueue) -> bool:
        """Forget a function; False when it still has jobs or workers."""
        if queue.workers or queue.total:
            return False
        del self.functions[queue.name]
        return True

    def _put_off(self, job: Job, due: float) -> None:
        self._due[job.handle] = due
        heapq.heappush(self._schedule, (due, next(self._tickets), job))
        job.queue.scheduled += 1

    def _join(self, job: Job, client: Peer | None) -> None:
        if client is None:
            if not job.background and self._job_store is not None:
                self._job_store.keep(job, self._due.get(job.handle))
            job.background = True
        else:
            clients = job.clients
            if not isinstance(clients, dict):
                clients = job.clients = dict.fromkeys(clients or (), 1)
            clients[client] = clients.get(client, 0) + 1
            client.watching[job.handle] = job

    def _remove_waiting(self, job: Job) -> None:
        del self.jobs[job.handle]
        queue = job.queue
        if job.key is not None:
            del queue.keys[job.key]
            job.key = None  # with the unique id "-" it is the payload
        if self._due.pop(job.handle, None) is None:
            queue.bury(job)
            return
        # It stays in the schedule as a tombstone; too many of them are swept.
        job.clients = None
        job.data = b""
        queue.scheduled -= 1
        if len(self._schedule) > 2 * len(self._due) + 32:
            self._schedule = [entry for entry in self._schedule if entry[2].clients is not None]
            heapq.heapify(self._schedule)
