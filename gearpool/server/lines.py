"""Lines of the text protocol that wait to be served. Pure.

A line is cut out of the received bytes only when it is served: as objects, a megabyte of line ends would take a hundred.
"""

from __future__ import annotations

LINE = 0
"""The type of no packet: stands for a line of the text protocol in a backlog."""


class Lines:
    """A backlog of lines, as packets of type `LINE`; `operator.length_hint` is exact.

    Args:
        data: whole lines, each with its line end.
    """

    __slots__ = ("_at", "_data", "_left")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = data.count(b"\n")

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> tuple[int, list[bytes]]:
        if not self._left:
            raise StopIteration
        end = self._data.index(b"\n", self._at)
        line = self._data[self._at : end]
        self._at = end + 1
        self._left -= 1
        return LINE, [line]

    def __length_hint__(self) -> int:
        return self._left

    def clear(self) -> None:
        """The lines that are left are not served."""
        self._left = 0
        self._data = b""
