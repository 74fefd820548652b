"""What both clients take for granted: time limits that a caller may change, and limits of a connection. Floor 3; pure."""

from __future__ import annotations

REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
JOB_TIMEOUT_S = 300.0

SEND_LIMIT_S = 30.0
"""A server that takes not a byte for so long is given up."""

BACKLOG = 4 * 1024 * 1024
"""Bytes waiting to be written beyond which those who submit are made to wait."""

CLOSED = "the client is closed"
NOT_IN_TIME = "no connection in time"
UNANSWERED = "it left a request unanswered, and the connection was given up"
UNREAD = f"it has read nothing for {SEND_LIMIT_S:.0f} s"
