"""Jobs and the queues they wait in, one a function. Pure.

Law: every operation costs the same whatever the length of the queue. So a job that is taken out of the middle
(cancelled, or its last client left) stays where it is as a tombstone (``clients`` is None) that `FunctionQueue.pop`
steps over, and a lane that is mostly tombstones is swept. No counter is kept that the lengths already tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gearpool.server.peers import Peer

HIGH, NORMAL, LOW = 0, 1, 2

BULKY = 65536
"""Payloads from this size on are handed on as they are, not copied into a packet."""


class Job:
    """A job from its submission until its last packet.

    Attributes:
        handle: its name on the wire.
        queue: its function.
        unique: the id the client gave; may be empty.
        key: under what later submissions are joined to it; None: never.
        priority: HIGH, NORMAL or LOW.
        background: somebody submitted it in the background, so it must run even if nobody waits.
        clients: who waits. A tuple of at most one, or, once others joined, how often each submitted it (each gets
            every packet so often, as with gearmand); None: the job is no more.
        worker: who runs it; None: it waits.
        retries: how often it was handed back.
        progress: the numbers of the last WORK_STATUS as sent; None before.
        reducer: what SUBMIT_REDUCE_JOB named, or empty.
    """

    __slots__ = (
        "background",
        "clients",
        "data",
        "handle",
        "key",
        "priority",
        "progress",
        "queue",
        "reducer",
        "retries",
        "unique",
        "worker",
    )

    def __init__(
        self,
        handle: bytes,
        queue: FunctionQueue,
        unique: bytes,
        key: Hashable,
        data: bytes,
        priority: int,
        background: bool,
        clients: tuple[Peer, ...],
    ) -> None:
        self.handle: bytes = handle
        self.queue: FunctionQueue = queue
        self.unique: bytes = unique
        self.key: Hashable = key
        self.data: bytes = data
        self.priority: int = priority
        self.background: bool = background
        self.clients: tuple[Peer, ...] | dict[Peer, int] | None = clients
        self.worker: Peer | None = None
        self.retries: int = 0
        self.progress: tuple[bytes, bytes] | None = None
        self.reducer: bytes = b""

    def waiting(self) -> Mapping[Peer, int]:
        """Who waits, and how often each."""
        clients = self.clients
        return clients if isinstance(clients, dict) else dict.fromkeys(clients or (), 1)


class FunctionQueue:
    """The jobs of one function and the workers that can do it.

    Attributes:
        name: the function.
        lanes: waiting jobs by priority, first in first out.
        running: how many are assigned.
        scheduled: how many wait for their time.
        keys: jobs that later submissions may join, by their key.
        limits: most jobs for a submission of each priority, as ``maxqueue`` set them; 0: none.
        workers: who can do it.
        sleepers: those of them to be woken; may still hold some that meanwhile woke up.
        created: an administrator made it, so it stays.
    """

    __slots__ = ("_gone", "created", "keys", "lanes", "limits", "name", "running", "scheduled", "sleepers", "workers")

    def __init__(self, name: bytes) -> None:
        self.name: bytes = name
        self.lanes: tuple[deque[Job], deque[Job], deque[Job]] = (deque(), deque(), deque())
        self.running: int = 0
        self.scheduled: int = 0
        self.keys: dict[Hashable, Job] = {}
        self.limits: tuple[int, int, int] | None = None
        self.workers: dict[Peer, None] = {}
        self.sleepers: dict[Peer, None] = {}
        self.created: bool = False
        self._gone = [0, 0, 0]

    def pop(self) -> Job | None:
        """Take the next job of the highest priority that has one."""
        for lane in self.lanes:
            while lane:
                job = lane.popleft()
                if job.clients is not None:
                    return job
                self._gone[job.priority] -= 1
        return None

    def pop_priority(self, priority: int) -> Job | None:
        """Take the next job of this priority."""
        lane = self.lanes[priority]
        while lane:
            job = lane.popleft()
            if job.clients is not None:
                return job
            self._gone[priority] -= 1
        return None

    def bury(self, job: Job) -> None:
        """A waiting job is no more."""
        job.clients = None
        job.data = b""
        priority = job.priority
        self._gone[priority] += 1
        lane = self.lanes[priority]
        if self._gone[priority] > 32 and 2 * self._gone[priority] > len(lane):
            alive = [each for each in lane if each.clients is not None]
            lane.clear()
            lane.extend(alive)
            self._gone[priority] = 0

    def queued(self, priority: int) -> int:
        """How many wait with this priority, those whose time has not come included (they are NORMAL)."""
        waiting = len(self.lanes[priority]) - self._gone[priority]
        return waiting + self.scheduled if priority == NORMAL else waiting

    @property
    def ready(self) -> bool:
        """Whether there is a job to take now."""
        high, normal, low = self.lanes
        if not (high or normal or low):
            return False
        return len(high) + len(normal) + len(low) > sum(self._gone)

    @property
    def idle(self) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return not (self.workers or self.created or self.limits or self.running or self.scheduled) and not self.ready

    @property
    def total(self) -> int:
        """Waiting, scheduled and running."""
        high, normal, low = self.lanes
        return len(high) + len(normal) + len(low) - sum(self._gone) + self.scheduled + self.running
