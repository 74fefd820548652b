"""Tells of servers that are reached and lost: once each, however many functions are served on them. Floor 3.

Law: a server that comes and goes, or sends what it should not, does not fill the log (see `limited_log`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gearpool.limited_log import LimitedLog


class ServerLog(LimitedLog):
    """The log of what servers cause in one process.

    Args:
        logger: where it goes.
        on_connected: called with the name of a server that had no connection, before it is served. It may wait.
        on_lost: called with the name of a server that is lost, or cannot be reached at first: it may have restarted.

    Attributes:
        reconnects: how many connections were made again.
    """

    def __init__(
        self, logger: logging.Logger, on_connected: Callable[[str], None], on_lost: Callable[[str], None]
    ) -> None:
        super().__init__(logger)
        self._on_connected = on_connected
        self._on_lost = on_lost
        self.reconnects = 0
        self._up: dict[str, bool] = {}

    def connected(self, server: str, *, again: bool) -> None:
        """A function is served on ``server``; ``again`` if it was before."""
        self.reconnects += again
        if not self._up.get(server):
            self._on_connected(server)
        # Looked at again: that may have waited, and another function may be served there by now.
        if not self._up.get(server):
            self._up[server] = True
            self.emit(logging.INFO, "server.connected", f"serving {server}", key=server, server=server)

    def lost(self, server: str, reason: str, delay_s: float) -> None:
        """A function is not served on ``server``; the next try is in ``delay_s``."""
        if self._up.get(server) is not False:
            self._up[server] = False
            self._on_lost(server)
            self.emit(logging.WARNING, "server.lost", reason, key=server, server=server, retry_in_s=round(delay_s, 2))
