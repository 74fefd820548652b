"""The client id of a worker's connection (SET_CLIENT_ID), shown by `gearadmin --workers`. Floor 3; pure."""

from __future__ import annotations

import os
import re
import socket

from gearpool.protocol.names import MAX_CLIENT_ID, client_id


def identity(configured: str | None, function: str) -> bytes:
    """The client id of the connection that serves ``function``: ``configured``, or HOST-PID-FUNCTION."""
    name = configured or f"{socket.gethostname()}-{os.getpid()}-{function}"
    return client_id(re.sub(rb"[\0 \t\r\n]", b"_", name.encode("utf-8", "replace")[:MAX_CLIENT_ID]))
