"""The page of shared memory in which a worker process shows what it is doing, without being asked. Floor 1.

The child writes it at every switch of greenlets and at every job (one ``pack_into``); the supervisor reads it a few
times a second. So a child that never yields, or hangs in C holding the GIL, or is already dead, is still seen, with the
job that was on its CPU. An idle child writes nothing.

Writes go to two slots in turn, so the one before is whole whenever the writer is stopped or killed in the middle. A write
clears its slot, then puts the turn number first, the fields, and the turn number last; a reader takes the last one first
and the first one last: if they are equal, no write to that slot was under way in between.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from typing import NamedTuple

SIZE = 4096
NO_FUNCTION = 0xFFFF

_layout = struct.Struct("<QdI64p64pQ")
_turn = struct.Struct("<Q")
_LAST = _layout.size - _turn.size

STEP = 256
"""Each write adds this to the page's ``turn``, so that ``turn & STEP`` is the offset of its slot."""

pack = _layout.pack_into
"""``pack(memory, turn & STEP, turn, since, tag, handle, unique, turn)``, as `Page.write` does; ``tag`` from `tagged`."""


class Activity(enum.IntEnum):
    """What is on the CPU of the child."""

    HUB = 0
    """The event loop: it sleeps, or serves sockets and timers. Never a stall."""
    JOB = 1
    """A handler."""
    OTHER = 2
    """Another greenlet: gearpool's own, or one that a handler started."""


def tagged(function: int, activity: int) -> int:
    """The two in one number: packing one costs less than two, and it is done for every job."""
    return activity << 16 | function


class Beat(NamedTuple):
    """One reading.

    Attributes:
        turn: grows by one with every write.
        since: ``time.monotonic()`` of that write, the clock being common to all processes of a machine.
        function: index of the job's function in the child's `Settings.functions`; NO_FUNCTION if there is none.
        activity: what is on the CPU.
        handle: the job's handle, empty if there is none.
        unique: its unique id, may be empty.
    """

    turn: int
    since: float
    function: int
    activity: Activity
    handle: bytes
    unique: bytes


class Page:
    """The shared page: `create` in the supervisor, `attach` in the child by the inherited descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.memory = mmap.mmap(fd, SIZE)
        self._seen = 0
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

    def write(self, since: float, function: int, activity: int, handle: bytes, unique: bytes) -> None:
        """Say what is on the CPU from now on. ``handle`` and ``unique`` are cut after 63 bytes."""
        turn = self.turn = self.turn + STEP
        pack(self.memory, turn & STEP, turn, since, tagged(function, activity), handle, unique, turn)

    def read(self) -> Beat:
        """The last complete write; all zero before the first."""
        while True:
            beats = [beat for slot in (0, STEP) if (beat := self._slot(slot)) is not None]
            # Turns never fall: a smaller one is a slot that was just cleared. Only a writer that was quicker than this
            # reader, twice, makes it look again.
            newest = max(beats, key=lambda beat: beat.turn, default=None)
            if newest is not None and newest.turn >= self._seen:
                self._seen = newest.turn
                return newest

    def _slot(self, offset: int) -> Beat | None:
        memory = self.memory
        (last,) = _turn.unpack_from(memory, offset + _LAST)
        _, since, tag, handle, unique, _ = _layout.unpack_from(memory, offset)
        (first,) = _turn.unpack_from(memory, offset)
        if first != last:
            return None
        return Beat(first // STEP, since, tag & NO_FUNCTION, Activity(tag >> 16), handle, unique)

    def close(self) -> None:
        """Unmap and close."""
        self.memory.close()
        os.close(self.fd)
