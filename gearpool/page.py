"""The page: shared memory in which a worker process shows what it is doing. Floor 1.

The child writes it at every switch of greenlets and at every job (one ``pack_into``); the supervisor reads it a few
times a second. So even a child that never yields, hangs in C holding the GIL, or is already dead shows the job that was on
its CPU. An idle child writes nothing.

Writes go to two slots alternately, so the previous one is whole even if the writer is stopped or killed in the middle. A
write clears its slot, then writes the sequence number, the fields, and the sequence number again; a reader takes the last
number first and the first one last: if they are equal, no write to that slot was under way in between. Jobs have two
slots of their own, so that the last job that was on the CPU is still shown after the event loop has gone on.

Behind the slots lies the table of jobs in flight: see `in_flight`. Behind that, from `SIZE` on, lies what the process
counts: see `figures`.
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
_sequence = struct.Struct("<Q")
_LAST = _layout.size - _sequence.size

_KILL = 2048
"""Where the supervisor writes; everything else is the child's."""

STEP = 256
"""Each write adds this to the page's ``sequence``, so ``sequence & STEP`` is the offset of its slot, if it is a job's."""
NOT_A_JOB = 512
"""The offset of the slots for everything that is not a job."""

pack = _layout.pack_into
"""``pack(memory, offset, sequence, since, tag, handle, unique, sequence)``, as `Page.write` does; ``tag`` from `tagged`."""


class Activity(enum.IntEnum):
    """What is on the CPU of the child."""

    HUB = 0
    """The event loop: it sleeps, or serves sockets and timers. Never a stall."""
    JOB = 1
    """A handler."""
    OTHER = 2
    """Another greenlet: gearpool's own, or one that no known job started."""
    LEFT = 3
    """A greenlet that a job has started and that outlives it; the job is shown with it."""


def tagged(function: int, activity: int, server: int = 0) -> int:
    """The three in one number: packing one costs less than three, and it is done for every job."""
    return server << 24 | activity << 16 | function


_OF_A_JOB = (Activity.JOB, Activity.LEFT)
_ACTIVITIES = frozenset(Activity)
_SLOTS = (0, STEP, NOT_A_JOB, NOT_A_JOB + STEP)
_TRIES = 100
"""Attempts to read; one succeeds unless something has overwritten the memory."""


class Reading(NamedTuple):
    """One reading.

    Attributes:
        sequence: grows by one with every write.
        since: ``time.monotonic()`` of that write, the clock being common to all processes of a machine.
        function: index of the job's function in the child's `Settings.functions`; NO_FUNCTION if there is none.
        activity: what is on the CPU.
        handle: the job's handle, empty if there is none.
        unique: its unique id, may be empty.
        server: index of the job's server in the child's `Settings.servers`.
    """

    sequence: int
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
        self.memory = mmap.mmap(fd, SIZE if fd < 0 else 0)
        self.jobs = in_flight.Table(self.memory, _TABLE)
        self._last = Reading(0, 0.0, 0, Activity.HUB, b"", b"")
        self.sequence = 0
        """`STEP` times the number of the last write. Who writes for every job does it in place: see `pack`."""

    @classmethod
    def create(cls, behind: int = 0) -> Page:
        """A new page with so many bytes ``behind`` it; its ``fd`` is to be inherited by the child."""
        fd = os.memfd_create("gearpool-page", os.MFD_CLOEXEC)
        os.ftruncate(fd, SIZE + behind)
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
        """Show what is on the CPU from now on. ``handle`` and ``unique`` are cut after 63 bytes."""
        sequence = self.sequence = self.sequence + STEP
        offset = (sequence & STEP) + (0 if activity in _OF_A_JOB else NOT_A_JOB)
        pack(self.memory, offset, sequence, since, tagged(function, activity, server), handle, unique, sequence)

    def read(self) -> Reading:
        """The last complete write; all zero before the first."""
        for _ in range(_TRIES):
            readings = [reading for slot in _SLOTS if (reading := self._slot(slot)) is not None]
            # Sequence numbers never fall: a smaller one is a slot that was just cleared. Only a writer that overtakes this
            # reader, twice, makes it look again.
            newest = max(readings, key=lambda reading: reading.sequence, default=None)
            if newest is not None and newest.sequence >= self._last.sequence:
                self._last = newest
                break
        # If there is none, what ran in that process has written over its own memory.
        return self._last

    def last_job(self) -> Reading | None:
        """The last complete write that shows a job; None if no job was ever on the CPU."""
        readings = [reading for slot in _SLOTS[:2] if (reading := self._slot(slot)) is not None and reading.sequence]
        return max(readings, key=lambda reading: reading.sequence, default=None)

    def detach(self) -> None:
        """In a forked copy of the writer: write to memory that nobody reads."""
        self.memory = mmap.mmap(-1, SIZE)
        self.jobs.detach()

    def ask_to_kill(self, sequence: int) -> None:
        """In the supervisor: have the job ended that this sequence number shows."""
        _sequence.pack_into(self.memory, _KILL, sequence)

    @property
    def to_kill(self) -> int:
        """In the child: the sequence number whose job is to be ended; 0 for none."""
        (sequence,) = _sequence.unpack_from(self.memory, _KILL)
        return int(sequence)

    def _slot(self, offset: int) -> Reading | None:
        memory = self.memory
        (last,) = _sequence.unpack_from(memory, offset + _LAST)
        _, since, tag, handle, unique, _ = _layout.unpack_from(memory, offset)
        (first,) = _sequence.unpack_from(memory, offset)
        if first != last or tag >> 16 & 0xFF not in _ACTIVITIES:
            return None
        return Reading(first // STEP, since, tag & NO_FUNCTION, Activity(tag >> 16 & 0xFF), handle, unique, tag >> 24)

    def close(self) -> None:
        """Unmap and close."""
        self.memory.close()
        os.close(self.fd)
