"""The page of shared memory in which a worker process shows what it is doing, without being asked. Floor 1.

The child writes it at every switch of greenlets and at every job (one ``pack_into``); the supervisor reads it a few
times a second. So a child that never yields, or hangs in C holding the GIL, or is already dead, is still seen, with the
job that was on its CPU. An idle child writes nothing.

Writes go to two slots in turn, so the one before is whole whenever the writer is stopped or killed in the middle. A write
clears its slot, then puts the turn number first, the fields, and the turn number last; a reader takes the last one first
and the first one last: if they are equal, no write to that slot was under way in between. Jobs have two slots of their
own, so that the last job that was on the CPU is still shown after the event loop has gone on.

Behind the slots lies the table of jobs in flight: see `in_flight`.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from typing import NamedTuple

from gearpool import in_flight

_TABLE = 4096
SIZE = _TABLE + in_flight.SIZE
NO_FUNCTION = 0xFFFF
NO_SERVER = 0xFFFF

_layout = struct.Struct("<QdQ64p64pQ")
_turn = struct.Struct("<Q")
_LAST = _layout.size - _turn.size

_KILL = 2048
"""Where the supervisor writes; everything else is the child's."""

STEP = 256
"""Each write adds this to the page's ``turn``, so that ``turn & STEP`` is the offset of its slot, if it is a job's."""
NOT_A_JOB = 512
"""The offset of the slots for everything that is not a job."""

pack = _layout.pack_into
"""``pack(memory, turn & STEP, turn, since, tag, handle, unique, turn)``, as `Page.write` does; ``tag`` from `tagged`."""


class Activity(enum.IntEnum):
    """What is on the CPU of the child."""

    HUB = 0
    """The event loop: it sleeps, or serves sockets and timers. Never a stall."""
    JOB = 1
    """A handler."""
    OTHER = 2
    """Another greenlet: gearpool's own, or one of which nobody knows who started it."""
    LEFT = 3
    """A greenlet that a job has started and left behind when it ended; the job is shown with it."""


def tagged(function: int, activity: int, server: int = 0) -> int:
    """The three in one number: packing one costs less than three, and it is done for every job."""
    return server << 24 | activity << 16 | function


_OF_A_JOB = (Activity.JOB, Activity.LEFT)
_ACTIVITIES = frozenset(Activity)
_SLOTS = (0, STEP, NOT_A_JOB, NOT_A_JOB + STEP)
_TRIES = 100
"""Of these one succeeds, as long as it is the writer's haste that makes a reader look again."""


class Beat(NamedTuple):
    """One reading.

    Attributes:
        turn: grows by one with every write.
        since: ``time.monotonic()`` of that write, the clock being common to all processes of a machine.
        function: index of the job's function in the child's `Settings.functions`; NO_FUNCTION if there is none.
        activity: what is on the CPU.
        handle: the job's handle, empty if there is none.
        unique: its unique id, may be empty.
        server: index of the job's server in the child's `Settings.servers`.
    """

    turn: int
    since: float
    function: int
    activity: Activity
    handle: bytes
    unique: bytes
    server: int = 0


class Page:
    """The shared page: `create` in the supervisor, `attach` in the child by the inherited descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.memory = mmap.mmap(fd, SIZE)
        self.jobs = in_flight.Table(self.memory, _TABLE)
        self._last = Beat(0, 0.0, 0, Activity.HUB, b"", b"")
        self.turn = 0
        """`STEP` times the number of the last write. Who writes for every job does it in place: see `pack`."""

    @classmethod
    def create(cls) -> Page:
        """A new page; its ``fd`` is to be inherited by the child."""
        fd = os.memfd_create("gearpool-page", os.MFD_CLOEXEC)
        os.ftruncate(fd, SIZE)
        return cls(fd)

    @classmethod
    def private(cls) -> Page:
        """A page that only this process sees; it goes with the object, without `close`."""
        return cls(-1)

    @classmethod
    def attach(cls, fd: int) -> Page:
        """The page behind an inherited descriptor."""
        return cls(fd)

    def write(self, since: float, function: int, activity: int, handle: bytes, unique: bytes, server: int = 0) -> None:
        """Say what is on the CPU from now on. ``handle`` and ``unique`` are cut after 63 bytes."""
        turn = self.turn = self.turn + STEP
        offset = (turn & STEP) + (0 if activity in _OF_A_JOB else NOT_A_JOB)
        pack(self.memory, offset, turn, since, tagged(function, activity, server), handle, unique, turn)

    def read(self) -> Beat:
        """The last complete write; all zero before the first."""
        for _ in range(_TRIES):
            beats = [beat for slot in _SLOTS if (beat := self._slot(slot)) is not None]
            # Turns never fall: a smaller one is a slot that was just cleared. Only a writer that was quicker than this
            # reader, twice, makes it look again.
            newest = max(beats, key=lambda beat: beat.turn, default=None)
            if newest is not None and newest.turn >= self._last.turn:
                self._last = newest
                break
        # If there is none, what ran in that process has written over its own memory.
        return self._last

    def last_job(self) -> Beat | None:
        """The last complete write that shows a job; None if no job was ever on the CPU."""
        beats = [beat for slot in _SLOTS[:2] if (beat := self._slot(slot)) is not None and beat.turn]
        return max(beats, key=lambda beat: beat.turn, default=None)

    def forsake(self) -> None:
        """In a copy of the process that writes it: what this copy does is shown to nobody."""
        self.memory = mmap.mmap(-1, SIZE)
        self.jobs.forsake()

    def ask_to_kill(self, turn: int) -> None:
        """In the supervisor: the job that this turn (see `Beat`) shows is to be ended."""
        _turn.pack_into(self.memory, _KILL, turn)

    @property
    def to_kill(self) -> int:
        """In the child: the turn whose job is to be ended; 0: none was ever."""
        (turn,) = _turn.unpack_from(self.memory, _KILL)
        return int(turn)

    def _slot(self, offset: int) -> Beat | None:
        memory = self.memory
        (last,) = _turn.unpack_from(memory, offset + _LAST)
        _, since, tag, handle, unique, _ = _layout.unpack_from(memory, offset)
        (first,) = _turn.unpack_from(memory, offset)
        if first != last or tag >> 16 & 0xFF not in _ACTIVITIES:
            return None
        return Beat(first // STEP, since, tag & NO_FUNCTION, Activity(tag >> 16 & 0xFF), handle, unique, tag >> 24)

    def close(self) -> None:
        """Unmap and close."""
        self.memory.close()
        os.close(self.fd)
