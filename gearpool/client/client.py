"""`Client`: submits jobs, waits for them, asks about them. Floor 3.

Law: every call has an end: connecting, acknowledging and asking within ``request_timeout``, a job's result within
``job_timeout``; only an explicit ``timeout=None`` waits for ever. Threads share one client freely, and so do greenlets
of a monkey-patched process.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, overload

from gearpool.client.admin import Admin
from gearpool.client.asking import known_server, one_of, whom_to_ask
from gearpool.client.defaults import CONNECT_TIMEOUT_S, JOB_TIMEOUT_S, REQUEST_TIMEOUT_S
from gearpool.client.dispatch import Dispatch
from gearpool.client.futures import JobFuture
from gearpool.client.many import SubmittingMany
from gearpool.client.orders import Payload
from gearpool.client.payloads import BYTES, Codec, R
from gearpool.client.results import JobHandle, JobStatus
from gearpool.client.submission import UNSET
from gearpool.net.addresses import ServerLike, parse_servers
from gearpool.net.dialing import standard
from gearpool.net.modules import Modules
from gearpool.protocol.codec import DEFAULT_MAX_PACKET
from gearpool.protocol.names import unique_id
from gearpool.protocol.packets import PacketType
from gearpool.settings import PayloadKind, ServerSettings
from gearpool.timing import Duration, seconds_of


class Client(SubmittingMany[R]):
    """A client of one or several job servers. Use it as a context manager, or call `close`.

    Args:
        servers: ``"host:port"``, several with commas between or as a list, or what `gearpool.net.addresses` takes.
        exceptions: ask the servers to pass WORK_EXCEPTION on (`JobException`); without it such jobs just fail.
        connect_timeout: for one server to be reached; like all durations, seconds or a timedelta.
        request_timeout: for a request to be answered, connecting included.
        job_timeout: how long a result is waited for when a call does not say; None for ever.
        max_packet: largest packet taken from a server, bytes.
        payload: how payloads are sent and results read: "bytes" (text is sent as UTF-8), "text", or "json", the other end of
            a function with ``payload: json``. Each call may say otherwise.
        modules: other modules than the standard library's to take sockets from.

    Attributes:
        servers: the servers, in the order given.
        request_timeout: seconds.
        admin: the servers' text protocol: queues, workers, cancel and the like.

    Raises:
        InvalidArgument: an argument is wrong. Nothing is connected before the first call.
    """

    @overload
    def __init__(
        self: Client[bytes],
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        exceptions: bool = True,
        connect_timeout: Duration = CONNECT_TIMEOUT_S,
        request_timeout: Duration = REQUEST_TIMEOUT_S,
        job_timeout: Duration | None = JOB_TIMEOUT_S,
        max_packet: int = DEFAULT_MAX_PACKET,
        payload: Literal["bytes"] = "bytes",
        modules: Modules | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Client[str],
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        exceptions: bool = True,
        connect_timeout: Duration = CONNECT_TIMEOUT_S,
        request_timeout: Duration = REQUEST_TIMEOUT_S,
        job_timeout: Duration | None = JOB_TIMEOUT_S,
        max_packet: int = DEFAULT_MAX_PACKET,
        payload: Literal["text"],
        modules: Modules | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Client[Any],
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        exceptions: bool = True,
        connect_timeout: Duration = CONNECT_TIMEOUT_S,
        request_timeout: Duration = REQUEST_TIMEOUT_S,
        job_timeout: Duration | None = JOB_TIMEOUT_S,
        max_packet: int = DEFAULT_MAX_PACKET,
        payload: Literal["json"],
        modules: Modules | None = None,
    ) -> None: ...

    def __init__(
        self,
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        exceptions: bool = True,
        connect_timeout: Duration = CONNECT_TIMEOUT_S,
        request_timeout: Duration = REQUEST_TIMEOUT_S,
        job_timeout: Duration | None = JOB_TIMEOUT_S,
        max_packet: int = DEFAULT_MAX_PACKET,
        payload: PayloadKind = "bytes",
        modules: Modules | None = None,
    ) -> None:
        self.servers: tuple[ServerSettings, ...] = parse_servers(servers)
        self.request_timeout: float = seconds_of(request_timeout, "request_timeout")
        job_timeout_s = None if job_timeout is None else seconds_of(job_timeout, "job_timeout")
        codec = Codec(payload)
        modules = modules or standard()
        self.admin: Admin = Admin(self.servers, timeout=self.request_timeout, modules=modules)
        dispatch = Dispatch(
            self.servers,
            exceptions=exceptions,
            connect_timeout=seconds_of(connect_timeout, "connect_timeout"),
            request_timeout=self.request_timeout,
            job_timeout=job_timeout_s,
            max_packet=max_packet,
            modules=modules,
            withdraw=self.admin.cancel,
        )
        super().__init__(dispatch, codec)

    def __repr__(self) -> str:
        state = " closed" if self._dispatch.pool.closed else ""
        return f"<Client {', '.join(self._dispatch.names())}{state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Whoever still waits gets ConnectionLost. May be called again."""
        self._dispatch.close()

    def get_job_status(
        self,
        job: JobHandle | JobFuture[Any] | str | None = None,
        *,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
    ) -> JobStatus:
        """What the servers know of a job.

        Args:
            job: what a submission returned, or its ``server/handle``, or a bare handle (all servers are asked then).
            unique: instead of a job: ask by unique id, all servers.
            timeout: seconds or a timedelta; the client's ``request_timeout`` if not given.

        Raises:
            NoServersAvailable: the server that made the handle cannot be reached; or, of several, none that knows it.
            TimedOut: no answer.
            ConnectionLost: the connection broke first.
            InvalidArgument: no handle.
        """
        deadline = self._dispatch.request_deadline(timeout)
        one_of(job, unique)
        self._dispatch.check_open()
        if unique is not None:
            return self._dispatch.first_known(self._dispatch.names(), unique_id(unique), deadline, by_unique=True)
        if isinstance(job, JobFuture):
            job = job.job(deadline.timeout())
        assert job is not None
        names, handle = whom_to_ask(job, self._dispatch.names())
        return self._dispatch.first_known(names, handle, deadline, by_unique=False)

    def echo(
        self, data: Payload = b"gearpool", *, server: str | None = None, timeout: Duration | None = UNSET
    ) -> bytes:
        """Send ``data`` to a server and back.

        Args:
            data: what to send.
            server: ``host:port`` of one of the client's servers; the first if not given.
            timeout: seconds or a timedelta; the client's ``request_timeout`` if not given.

        Raises:
            NoServersAvailable: it cannot be reached.
            TimedOut: no answer.
            ConnectionLost: the connection broke first.
        """
        self._dispatch.check_open()
        deadline = self._dispatch.request_deadline(timeout)
        name = known_server(server, self._dispatch.names())
        return self._dispatch.ask(name, PacketType.ECHO_REQ, PacketType.ECHO_RES, BYTES.encode(data), deadline)[0]
