"""The records of the server core, which refer to each other: connections, jobs, and queues of one function. Pure.

Every operation on a queue costs the same whatever its length. So a job that leaves from the middle (cancelled, or its last
client left) stays in place as a tombstone (``clients`` is None) that `FunctionQueue.pop` skips, and a lane that is mostly
tombstones is compacted. No counter is kept that lengths already give.

Bytes for a peer are appended to ``out``; the first append also puts the peer on ``dirty``. The shell empties both after
each iteration of its event loop, with one send per connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from operator import length_hint

from gearpool.protocol.codec import Decoder
from gearpool.protocol.packets import REQUEST_MAGIC

HIGH, NORMAL, LOW = 0, 1, 2

BULKY = 65536
"""Payloads from this size on are passed on uncopied."""


class Job:
    """A job from its submission until its last packet.

    Attributes:
        handle: its name on the wire.
        queue: its function.
        unique: the id the client gave; may be empty.
        key: under what later submissions are joined to it; None: never.
        priority: HIGH, NORMAL or LOW.
        background: it was submitted in the background, so it must run even if no client waits.
        clients: the waiting clients. A tuple of at most one, or, once others joined, how often each submitted it (each gets
            every packet so often, as with gearmand); None: the job is no more.
        worker: the one that runs it; None: it waits.
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
        workers: those that serve it.
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


Work = Iterator[int] | int | None
"""What serving a request still costs, or has cost beyond the usual, in units of `gearpool.server.pacing`: None for
nothing, a number, or an iterator that does a piece of the work at each step and yields what the piece cost."""

NEXT_PASS = -1
"""Yielded instead of a cost: what comes now is too much for a step, and begins in a pass that has room for it."""

PER_REQUEST = 128
"""Bytes that a small packet takes in the backlog beyond those that were sent."""

PER_ENTRY = 16
"""Bytes for each entry of a list under way: a reference, and the handles of jobs that have ended meanwhile."""

NOTHING: Iterator[tuple[int, list[bytes]]] = iter(())


class Peer:
    """One connection; client, worker and administrator may be the same.

    Attributes:
        out: bytes to send, in order.
        dirty: the list shared by all peers of a core on which those with something in ``out`` stand.
        queues: the functions it can do, in the order of registration.
        next_queue: where the next search for a job begins in ``queues``.
        running: jobs assigned to it, by handle.
        watching: jobs it submitted in the foreground and that have not ended, by handle.
        alone: ``(self,)``, shared by the jobs that only this peer waits for.
        asleep: it sent PRE_SLEEP and neither was woken nor grabbed since.
        exceptions: it asked for WORK_EXCEPTION (OPTION_REQ).
        spoken: whether it uses the text protocol; None until its first byte.
        line: the text protocol's unfinished line.
        backlog: requests that were read and not served yet: packets, or lines as packets of type 0.
        behind: something is in ``backlog`` or ``task``.
        task: the rest of the request that is being served; the backlog waits for it.
        listing: entries of the list that is being sent; 0 if there is none.
        problem: why the connection is to be closed once its backlog has been served.
        lent: bytes of ``out`` that are payloads of its running jobs; they are in memory anyway.
    """

    __slots__ = (
        "address",
        "alone",
        "asleep",
        "backlog",
        "behind",
        "closed",
        "decoder",
        "dirty",
        "exceptions",
        "fd",
        "lent",
        "line",
        "listing",
        "name",
        "next_queue",
        "out",
        "problem",
        "queues",
        "running",
        "spoken",
        "task",
        "watching",
    )

    def __init__(self, dirty: list[Peer], address: bytes, fd: int, max_packet: int) -> None:
        self.dirty: list[Peer] = dirty
        self.address: bytes = address
        self.fd: int = fd
        self.name: bytes = b""
        self.out: list[bytes] = []
        self.decoder: Decoder = Decoder(REQUEST_MAGIC, max_packet)
        self.line: bytes = b""
        self.spoken: bool | None = None
        self.queues: list[FunctionQueue] = []
        self.next_queue: int = 0
        self.running: dict[bytes, Job] = {}
        self.watching: dict[bytes, Job] = {}
        self.alone: tuple[Peer, ...] = (self,)
        self.asleep: bool = False
        self.exceptions: bool = False
        self.closed: bool = False
        self.backlog: Iterator[tuple[int, list[bytes]]] = NOTHING
        self.task: Iterator[int] | None = None
        self.problem: str | None = None
        self.behind: bool = False
        self.lent: int = 0
        self.listing: int = 0

    @property
    def unserved(self) -> int:
        """Bytes of memory that requests take which were read and are not served, beyond what was sent."""
        # Lines are cut out of the received bytes when they are served: see `gearpool.server.lines`.
        requests = 0 if self.spoken else length_hint(self.backlog)
        return PER_REQUEST * requests + PER_ENTRY * self.listing

    def send(self, data: bytes) -> None:
        """Queue bytes for sending."""
        if not self.out:
            self.dirty.append(self)
        self.out.append(data)
