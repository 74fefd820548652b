"""How much of one pass of the event loop each connection may take. Pure.

A pass, in which every ready socket is read once, does at most about `PASS_WORK` units of work and reads at most about
`PASS_BYTES`, however many connections send however much. The rest of what a connection sent waits in its backlog until
the next pass. So the time until a quiet connection is answered does not depend on what others send.

A unit of work is about one small packet: some 2 µs on a machine of 2024.
"""

from __future__ import annotations

PASS_WORK = 6_000
PASS_BYTES = 1024 * 1024

PIECE = 64
"""Jobs or rows handled at one step of a long request."""

HANDSHAKE_WORK = 300
"""A step of a TLS handshake: a signature takes most of a millisecond."""

MIN_WORK, MAX_WORK = 16, 2_048
MIN_READ, MAX_READ = 2 * 1024, 64 * 1024

_PLENTY_OF_WORK = PASS_WORK - 2 * MAX_WORK
_PLENTY_OF_BYTES = PASS_BYTES - 2 * MAX_READ
"""Until so much of a pass is used up, half of what is left is more than anybody may have."""


class Pacing:
    """Divides a pass among its connections: by how many there were in the last pass, and by what is left of this one.

    Attributes:
        passes: how many passes there were; used as a timestamp.
        work: units of work for the next connection.
        read_bytes: how much to read at once from the next connection.
    """

    __slots__ = ("_bytes", "_fair_read", "_fair_work", "_served", "_work", "passes", "read_bytes", "work")

    def __init__(self) -> None:
        self.passes: int = 0
        self.work: int = MAX_WORK
        self.read_bytes: int = MAX_READ
        self._fair_work, self._fair_read = MAX_WORK, MAX_READ
        self._served = self._work = self._bytes = 0

    @property
    def exhausted(self) -> bool:
        """Whether the pass has no work left for what can wait."""
        return self._work >= PASS_WORK

    def served(self, work: int, size: int) -> None:
        """A connection was served: with this much work, and this many bytes read from it."""
        self._served += 1
        self._work += work
        self._bytes += size
        if self._work > _PLENTY_OF_WORK or self._bytes > _PLENTY_OF_BYTES:
            self.work = min(self._fair_work, max(MIN_WORK, (PASS_WORK - self._work) // 2))
            self.read_bytes = min(self._fair_read, max(MIN_READ, (PASS_BYTES - self._bytes) // 2))

    def next_pass(self) -> None:
        """The pass has ended."""
        self.passes += 1
        served = self._served
        self._fair_work = self.work = min(MAX_WORK, max(MIN_WORK, PASS_WORK // (served or 1)))
        self._fair_read = self.read_bytes = min(MAX_READ, max(MIN_READ, PASS_BYTES // (served or 1)))
        self._served = self._work = self._bytes = 0
