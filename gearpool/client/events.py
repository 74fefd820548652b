"""The unread events of a running job. Floor 3; pure.

Memory is bounded. A worker may send more than its client ever reads: what exceeds `MAX_UNREAD` bytes is dropped, and
the reader learns where and how much is missing. The result of a job is never dropped.

One thread puts, another may take: each counter is written by one of them only.
"""

from __future__ import annotations

from collections import deque

from gearpool.client.results import Event, Progress
from gearpool.errors import EventsDropped

MAX_UNREAD = 64 * 1024 * 1024
"""Bytes of unread events that are kept for one job."""

EVENT_SIZE = 200
"""What an event takes beside its data, in bytes."""


class UnreadEvents:
    """A queue of events. Of several unread statuses only the last is kept.

    Args:
        limit: bytes of unread events beyond which what comes is dropped.
    """

    __slots__ = ("_came", "_dropped", "_queue", "_taken", "limit")

    def __init__(self, limit: int = MAX_UNREAD) -> None:
        self.limit: int = limit
        self._queue: deque[Event] = deque()
        self._came = 0
        self._taken = 0
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._queue) or self._dropped > 0

    def put(self, event: Event) -> None:
        """One came."""
        queue = self._queue
        if isinstance(event, Progress):
            try:
                if isinstance(queue[-1], Progress):
                    queue[-1] = event
                    return
            except IndexError:
                pass  # read meanwhile
        size = _size(event)
        # After a gap nothing is kept until the reader has noticed it: later events would seem to come before it.
        if self._dropped or self._came - self._taken + size > self.limit:
            self._dropped += 1
            return
        self._came += size
        queue.append(event)

    def popleft(self) -> Event:
        """The next one.

        Raises:
            EventsDropped: here some are missing; read on for those that came since.
            IndexError: there is none.
        """
        try:
            event = self._queue.popleft()
        except IndexError:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                raise EventsDropped(dropped, self.limit) from None
            raise
        self._taken += _size(event)
        return event


def _size(event: Event) -> int:
    return EVENT_SIZE if isinstance(event, Progress) else EVENT_SIZE + len(event.data)


def ignore(event: Event) -> None:
    """For jobs whose events cannot be read: they are not even created."""
