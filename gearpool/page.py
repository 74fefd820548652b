"""The page of shared memory in which a worker process shows what it is doing, without being asked. Floor 1.

The child writes it at every switch of greenlets and at every job (one ``pack_into``); the supervisor reads it a few
times a second. So a child that never yields, or hangs in C holding the GIL, or is already dead, is still seen, with the
job that was on its CPU. An idle child writes nothing.

A write clears the page, then puts the turn number first, the fields, and the turn number last. A reader takes the last
one first and the first one last: if they are equal, no write was under way in between.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from typing import NamedTuple

SIZE = 4096
NO_FUNCTION = 0xFFFF
TRIES = 1000

_layout = struct.Struct("<QdHB64p64pQ")
_turn = struct.Struct("<Q")
_LAST = _layout.size - _turn.size

pack = _layout.pack_into
"""``pack(memory, 0, turn, since, function, activity, handle, unique, turn)``: what `Page.write` does."""


class Activity(enum.IntEnum):
    """What is on the CPU of the child."""

    HUB = 0
    """The event loop: it sleeps, or serves sockets and timers. Never a stall."""
    JOB = 1
    """A handler."""
    OTHER = 2
    """Another greenlet: gearpool's own, or one that a handler started."""


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
        """The number of the last write. Who writes for every job does it in place: see `pack`."""

    @classmethod
    def create(cls) -> Page:
        """A new page; its ``fd`` is to be inherited by the child."""
        fd = os.memfd_create("gearpool-page", os.MFD_CLOEXEC)
        os.ftruncate(fd, SIZE)
        return cls(fd)

    @classmethod
    def attach(cls, fd: int) -> Page:
        """The page behind an inherited descriptor."""
        return cls(fd)

    def write(self, since: float, function: int, activity: int, handle: bytes, unique: bytes) -> None:
        """Say what is on the CPU from now on. ``handle`` and ``unique`` are cut after 63 bytes."""
        turn = self.turn = self.turn + 1
        pack(self.memory, 0, turn, since, function, activity, handle, unique, turn)

    def read(self) -> Beat:
        """The last complete write; all zero before the first.

        A child that was stopped or killed in the middle of a write leaves the two turns different for ever: after
        TRIES the reading is given as it is.
        """
        memory = self.memory
        for _ in range(TRIES):
            (last,) = _turn.unpack_from(memory, _LAST)
            _, since, function, activity, handle, unique, _ = _layout.unpack_from(memory)
            (first,) = _turn.unpack_from(memory)
            # Turns never fall: a smaller one is a page that was just cleared.
            if first == last >= self._seen:
                self._seen = first
                break
        return Beat(first, since, function, Activity(activity), handle, unique)

    def close(self) -> None:
        """Unmap and close."""
        self.memory.close()
        os.close(self.fd)
