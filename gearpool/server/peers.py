"""A connection as the core sees it: what it said, what it holds, and what is to be sent to it. Pure.

Law: bytes for a peer are appended to ``out``; whoever appends the first puts the peer on ``dirty``. The shell empties
both after each turn of its loop, one send a connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint
from typing import TYPE_CHECKING

from gearpool.protocol.codec import Decoder
from gearpool.protocol.packets import REQUEST_MAGIC

if TYPE_CHECKING:
    from gearpool.server.queues import FunctionQueue, Job

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
        turn: where the next search for a job begins in ``queues``.
        running: jobs assigned to it, by handle.
        watching: jobs it submitted in the foreground and that have not ended, by handle.
        alone: ``(self,)``, shared by the jobs that only this peer waits for.
        asleep: it sent PRE_SLEEP and neither was woken nor grabbed since.
        exceptions: it asked for WORK_EXCEPTION (OPTION_REQ).
        spoken: whether it speaks the text protocol; None until its first byte decides.
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
        "out",
        "problem",
        "queues",
        "running",
        "spoken",
        "task",
        "turn",
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
        self.turn: int = 0
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
        # Lines are cut out of what was sent when it is their turn: see `gearpool.server.lines`.
        requests = 0 if self.spoken else length_hint(self.backlog)
        return PER_REQUEST * requests + PER_ENTRY * self.listing

    def send(self, data: bytes) -> None:
        """Queue bytes for sending."""
        if not self.out:
            self.dirty.append(self)
        self.out.append(data)
