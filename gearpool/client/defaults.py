"""What both clients are made with: the caller's options, their defaults, and limits of a connection. Floor 3; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from gearpool.net.addresses import ServerLike, parse_servers
from gearpool.net.dialing import standard
from gearpool.net.modules import Modules
from gearpool.settings import ServerSettings
from gearpool.timing import Duration, seconds_of

REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
JOB_TIMEOUT_S = 300.0

SEND_LIMIT_S = 30.0
"""A server that takes not a byte for so long is given up."""

BACKLOG = 4 * 1024 * 1024
"""Bytes waiting to be written beyond which submitting blocks."""


class ClientOptions(TypedDict, total=False):
    """The options that all overloads of both clients' constructors have; the classes tell what they mean."""

    exceptions: bool
    connect_timeout: Duration
    request_timeout: Duration
    job_timeout: Duration | None
    max_packet: int
    modules: Modules | None


class ClientSettings:
    """The options of one client, checked.

    Attributes:
        servers: whom to use.
        exceptions: have WORK_EXCEPTION passed on.
        connect_timeout: seconds for one server to be reached.
        request_timeout: seconds for a request to be answered; also of silence after which it counts as unanswered.
        job_timeout: seconds a result is waited for when a call does not say; None for ever.
        max_packet: largest packet taken from a server, bytes.
        modules: where sockets come from, and how names are resolved.

    Raises:
        InvalidArgument: a value is wrong.
    """

    def __init__(
        self,
        servers: ServerLike | Iterable[ServerLike],
        *,
        exceptions: bool,
        connect_timeout: Duration,
        request_timeout: Duration,
        job_timeout: Duration | None,
        max_packet: int,
        modules: Modules | None,
    ) -> None:
        self.servers: tuple[ServerSettings, ...] = parse_servers(servers)
        self.exceptions: bool = exceptions
        self.connect_timeout: float = seconds_of(connect_timeout, "connect_timeout")
        self.request_timeout: float = seconds_of(request_timeout, "request_timeout")
        self.job_timeout: float | None = None if job_timeout is None else seconds_of(job_timeout, "job_timeout")
        self.max_packet: int = max_packet
        self.modules: Modules = modules or standard()


CLOSED = "the client is closed"
NOT_IN_TIME = "no connection in time"
UNANSWERED = "it left a request unanswered, and the connection was given up"
UNREAD = f"it has read nothing for {SEND_LIMIT_S:.0f} s"
