"""Logs when servers are connected and lost: once each, however many functions are served on them. Floor 3.

The log is rate-limited, so an unstable or faulty server does not fill it (see `limited_log`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gearpool.limited_log import LimitedLog


class ServerLog(LimitedLog):
    """The log of what servers cause in one process.

    Attributes:
        on_connected: called with the name of a server that had no connection, before jobs are grabbed. It may block.
        on_lost: called with the name of a server that was lost or could not be reached: it may have restarted.
        on_reconnected: called at each reconnect.
        reconnects: their number.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger)
        self.on_connected: Callable[[str], None] | None = None
        self.on_lost: Callable[[str], None] | None = None
        self.on_reconnected: Callable[[], None] | None = None
        self.reconnects = 0
        self._up: dict[str, bool] = {}

    def connected(self, server: str, *, again: bool) -> None:
        """A lane has connected to ``server``; ``again`` if it was connected before."""
        if again:
            self.reconnects += 1
            if self.on_reconnected is not None:
                self.on_reconnected()
        if not self._up.get(server) and self.on_connected is not None:
            self.on_connected(server)
        # Check again: on_connected may have blocked, and another lane may have connected meanwhile.
        if not self._up.get(server):
            self._up[server] = True
            self.emit(logging.INFO, "server.connected", f"serving {server}", key=server, server=server)

    def lost(self, server: str, reason: str, delay_s: float) -> None:
        """A lane has no connection to ``server``; the next attempt is in ``delay_s``."""
        if self._up.get(server) is not False:
            self._up[server] = False
            if self.on_lost is not None:
                self.on_lost(server)
            self.emit(logging.WARNING, "server.lost", reason, key=server, server=server, retry_in_s=round(delay_s, 2))
