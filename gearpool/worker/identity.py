"""What a worker's connections call themselves (SET_CLIENT_ID), as `gearadmin --workers` shows it. Floor 3."""

from __future__ import annotations

import os
import socket

from gearpool.protocol.names import MAX_CLIENT_ID, client_id


def identity(configured: str | None, function: str) -> bytes:
    """The client id of the connection that serves ``function``: ``configured``, else HOST-PID-FUNCTION."""
    name = configured or f"{socket.gethostname()}-{os.getpid()}-{function}"
    raw = name.encode("utf-8", "replace")[:MAX_CLIENT_ID]
    for byte in (b"\0", b" ", b"\t", b"\r", b"\n"):
        raw = raw.replace(byte, b"_")
    return client_id(raw)
