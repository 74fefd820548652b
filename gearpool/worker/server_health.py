"""Tracks whether a job server can be reached; while it is down, only one lane of this process probes it. Floor 3.

Fifty functions must not cause fifty connection attempts a second to a server that is down, and a server that is back must
be served again within seconds. So one lane probes the server, at least every MAX_PROBE_DELAY_S however long it has been
down. When that lane has connected, all other lanes connect, too.
"""

from __future__ import annotations

from gevent.event import Event

from gearpool.settings import ReconnectSettings
from gearpool.timing import Backoff

MAX_PROBE_DELAY_S = 4.0
"""The maximum delay between two probes, whatever ``reconnect.max_delay`` is."""


class ServerHealth:
    """The health of one server. Lanes call `enter` before they connect, and then `reached` or `lost`.

    Args:
        reconnect: the back-off between probes.

    Attributes:
        up: the last attempt succeeded, or none was made yet.
    """

    def __init__(self, reconnect: ReconnectSettings) -> None:
        self._backoff = Backoff(reconnect.delay_s, min(reconnect.max_delay_s, MAX_PROBE_DELAY_S))
        self._prober: object | None = None
        self._delay_s = 0.0
        self._changed = Event()
        self.up = True

    def enter(self, lane: object, stopping: Event) -> None:
        """Wait until ``lane`` may connect, or ``stopping`` is set."""
        while not self.up and not stopping.is_set():
            if self._prober is None:
                self._prober = lane
                stopping.wait(self._delay_s)
                return
            self._changed.wait()

    def reached(self, lane: object) -> None:
        """``lane`` has connected."""
        self.up = True
        self.leave(lane)
        self._notify()

    def lost(self, lane: object, *, was_stable: bool = False) -> float:
        """``lane`` could not connect, or lost its connection. Returns the delay until the next probe, in seconds.

        ``was_stable`` resets the back-off. A short-lived connection does not: a server that accepts connections only to
        drop them must not be retried at the initial rate for ever.
        """
        if was_stable:
            self._backoff.reset()
        if self.up or self._prober is lane:
            self.up = False
            self._delay_s = self._backoff.next()
            self.leave(lane)
        return self._delay_s

    def leave(self, lane: object) -> None:
        """``lane`` is no longer the one that probes."""
        if self._prober is lane:
            self._prober = None
            self._notify()

    def _notify(self) -> None:
        """Wake the waiting lanes; later ones wait for the next change."""
        changed, self._changed = self._changed, Event()
        changed.set()
