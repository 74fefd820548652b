"""Tells of servers that are reached and lost: once each, however many functions are served on them. Floor 3.

Law: a server that comes and goes, or sends what it should not, does not fill the log (see `limited_log`).
"""

from __future__ import annotations

import logging

from gearpool.limited_log import LimitedLog


class ServerLog(LimitedLog):
    """The log of what servers cause in one process.

    Attributes:
        reconnects: how many connections were made again.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger)
        self.reconnects = 0
        self._up: dict[str, bool] = {}

    def connected(self, server: str, *, again: bool) -> None:
        """A function is served on ``server``; ``again`` if it was before."""
        self.reconnects += again
        if not self._up.get(server):
            self._up[server] = True
            self.emit(logging.INFO, "server.connected", f"serving {server}", key=server, server=server)

    def lost(self, server: str, reason: str, delay_s: float) -> None:
        """A function is not served on ``server``; the next try is in ``delay_s``."""
        if self._up.get(server) is not False:
            self._up[server] = False
            self.emit(logging.WARNING, "server.lost", reason, key=server, server=server, retry_in_s=round(delay_s, 2))
