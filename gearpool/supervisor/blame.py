"""Which jobs were on the CPU when their process died: the memory that outlives the process. Floor 4; pure.

A job is known by its function and unique id, or by its handle when it has none: gearmand redelivers a job under the
same handle for as long as it is not restarted.

Law: only the job on the CPU is blamed, never those in flight beside it. A reload that takes new processes forgets it all:
the code may be mended, and recurring jobs come under the same unique id again.
"""

from __future__ import annotations

from collections import OrderedDict

MOST = 10_000
"""Jobs remembered; the one blamed longest ago is forgotten first."""


class Blame:
    """Counts deaths by (function, key)."""

    def __init__(self) -> None:
        self._kills: OrderedDict[tuple[str, str], int] = OrderedDict()

    def add(self, function: str, handle: bytes, unique: bytes) -> tuple[str, str, int]:
        """One more death: the entry (function, key, kills so far) to be told to the children."""
        key = (function, (unique or handle).decode("utf-8", "surrogateescape"))
        kills = self._kills.pop(key, 0) + 1
        self._kills[key] = kills
        if len(self._kills) > MOST:
            self._kills.popitem(last=False)
        return (*key, kills)

    def entries(self) -> list[list[str | int]]:
        """All of it, for a child that starts: [function, key, kills] each."""
        return [[function, key, kills] for (function, key), kills in self._kills.items()]
