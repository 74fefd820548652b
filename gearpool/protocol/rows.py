"""A list of the text protocol as it was read. Floor 0; pure."""

from __future__ import annotations

from typing import TypeVar

from gearpool.errors import RemoteProtocolError

_T = TypeVar("_T")


class Rows(list[_T]):
    """The rows of a list.

    Names that came over the binary protocol may hold line ends, which gearmand prints as they are: their rows are put
    together again.

    Attributes:
        odd: the lines of which no row could be made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.odd: list[str] = []

    def checked(self) -> Rows[_T]:
        """Itself.

        Raises:
            RemoteProtocolError: there are lines, and no row could be made of any.
        """
        if self.odd and not self:
            raise RemoteProtocolError(f"not a row of the text protocol: {self.odd[0][:200]!r}")
        return self
