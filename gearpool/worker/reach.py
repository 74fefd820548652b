"""Whether a job server can be reached, over all lanes of this process: one of them looks for it, the others wait. Floor 3.

Law: fifty functions must not mean fifty connects a second to a server that is down, and a server that is back must be
served again within seconds. So each server has one scout, which tries again within SEEN_WITHIN_S however long it has
been away; when it gets through, all lanes connect.
"""

from __future__ import annotations

from gevent.event import Event

from gearpool.settings import ReconnectSettings
from gearpool.timing import Backoff

SEEN_WITHIN_S = 4.0
"""The longest wait between two tries of a scout, whatever ``reconnect.max_delay`` says."""


class Reach:
    """One server. Lanes take their turn through `enter`, and tell how it went.

    Args:
        reconnect: the back-off between tries.
    """

    def __init__(self, reconnect: ReconnectSettings) -> None:
        self._backoff = Backoff(reconnect.delay_s, min(reconnect.max_delay_s, SEEN_WITHIN_S))
        self._scout: object | None = None
        self._delay_s = 0.0
        self._changed = Event()
        self.up = True
        """The last try got through; before the first, the hope that it will."""

    def enter(self, lane: object, stopping: Event) -> None:
        """Wait until ``lane`` may try to connect, or ``stopping`` is set."""
        while not self.up and not stopping.is_set():
            if self._scout is None:
                self._scout = lane
                stopping.wait(self._delay_s)
                return
            self._changed.wait()

    def reached(self, lane: object) -> None:
        """``lane`` has a connection."""
        self.up = True
        self.leave(lane)
        self._announce()

    def lost(self, lane: object, *, was_steady: bool = False) -> float:
        """``lane`` has none: it could not connect, or lost its connection. Returns the next scout's wait in seconds.

        Args:
            lane: which.
            was_steady: its connection had lasted. A server that takes connections only to break them, or that we leave
                again for what it sends, is not asked twice a second for ever.
        """
        if was_steady:
            self._backoff.reset()
        if self.up or self._scout is lane:
            self.up = False
            self._delay_s = self._backoff.next()
            self.leave(lane)
        return self._delay_s

    def leave(self, lane: object) -> None:
        """``lane`` scouts no more."""
        if self._scout is lane:
            self._scout = None
            self._announce()

    def _announce(self) -> None:
        """Let all who wait look again; whoever waits next waits for the next change."""
        changed, self._changed = self._changed, Event()
        changed.set()
