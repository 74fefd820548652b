"""The table of jobs in flight in a worker process, in memory that the supervisor reads after its death. Floor 1.

A job has a row from the moment its handler first yields to its end; a job that never yields is shown by the page alone. What
a job runs in a native thread has a row of its own with the thread's identifier, because such a thread can end the process at
any moment, whatever the event loop does, and outlive its job.

The writer never reads what it wrote; the reader reads when the writer is dead or blocked. The tag is written first and
cleared first, and a row without a tag is free.
"""

from __future__ import annotations

import mmap
import struct
from typing import Any, NamedTuple

_row = struct.Struct("<QQ64p64p")
_number = struct.Struct("<Q")
CAPACITY = 16_384
"""Number of rows; jobs beyond it are not shown."""
SIZE = 64 + CAPACITY * _row.size
"""Bytes of the whole table. Memory is taken only for rows that have been used."""

_pack = _row.pack_into


class Row(NamedTuple):
    """A job in flight, or what it runs in a native thread.

    Attributes:
        tag: as in `page.tagged`: the job's function and server.
        thread: `threading.get_ident` of the native thread; 0 for the job itself.
        handle: the job's handle.
        unique: its unique id, may be empty.
    """

    tag: int
    thread: int
    handle: bytes
    unique: bytes


class Table:
    """The rows.

    Args:
        memory: where they are, zeroed at first.
        base: the offset of the table in it.
    """

    def __init__(self, memory: mmap.mmap | bytearray, base: int) -> None:
        self._memory = memory
        self._base = base
        # The row freed last is taken first, so that few pages of memory are ever touched.
        self._free: list[int] = []
        self._used = 0
        self._words: Any = None

    def add(self, tag: int, handle: bytes, unique: bytes, thread: int = 0) -> int:
        """Take a row; returns what `remove` takes, 0 if the table is full. May be called in any thread."""
        try:
            row = self._free.pop()
        except IndexError:
            row = self._new()
            if not row:
                return 0
        _pack(self._memory, row, tag, thread, handle, unique)
        return row

    def remove(self, row: int) -> None:
        """Free a row; nothing happens for 0."""
        if row:
            self._words[row >> 3] = 0
            self._free.append(row)

    def detach(self) -> None:
        """In a forked copy of the process: write to memory that is not shared."""
        self._memory = mmap.mmap(-1, self._base + SIZE)
        self._words = memoryview(self._memory).cast("Q")

    def rows(self) -> list[Row]:
        """The rows in use, in no order."""
        (used,) = _number.unpack_from(self._memory, self._base)
        found = (Row(*_row.unpack_from(self._memory, self._offset(number))) for number in range(min(used, CAPACITY)))
        return [row for row in found if row.tag]

    def _new(self) -> int:
        number = self._used
        if number >= CAPACITY:
            return 0
        if number == 0:
            # Only in the writer: it keeps the memory from being unmapped.
            self._words = memoryview(self._memory).cast("Q")
        self._used = number + 1
        _number.pack_into(self._memory, self._base, number + 1)
        return self._offset(number)

    def _offset(self, number: int) -> int:
        return self._base + 64 + number * _row.size
