"""`Client`: submits jobs, waits for them, asks about them. Floor 3.

Every call ends: connecting, acknowledging and asking within ``request_timeout``, waiting for a result within
``job_timeout``; only an explicit ``timeout=None`` waits for ever. Threads may share one client, and so may greenlets of
a monkey-patched process.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from gearpool.client.admin import Admin
from gearpool.client.asking import known_server, one_of, whom_to_ask
from gearpool.client.defaults import CONNECT_TIMEOUT_S, JOB_TIMEOUT_S, REQUEST_TIMEOUT_S, ClientOptions, ClientSettings
from gearpool.client.dispatch import Dispatch
from gearpool.client.dispatching import BY_HANDLE, BY_UNIQUE
from gearpool.client.futures import JobFuture
from gearpool.client.many import SubmittingMany
from gearpool.client.orders import Payload
from gearpool.client.payloads import BYTES, Codec, R
from gearpool.client.results import JobHandle, JobStatus
from gearpool.client.submission import UNSET
from gearpool.net.addresses import ServerLike
from gearpool.net.modules import Modules
from gearpool.protocol.codec import DEFAULT_MAX_PACKET
from gearpool.protocol.names import unique_id
from gearpool.protocol.packets import PacketType
from gearpool.settings import PayloadKind, ServerSettings
from gearpool.timing import Duration


class Client(SubmittingMany[R]):
    """A client of one or several job servers. Use it as a context manager, or call `close`.

    Args:
        servers: ``"host:port"``, several with commas between or as a list, or what `gearpool.net.addresses` takes.
        exceptions: ask the servers to pass WORK_EXCEPTION on (`JobException`); without it such jobs just fail.
        connect_timeout: for one server to be reached; like all durations, seconds or a timedelta.
        request_timeout: for a request to be answered, connecting included.
        job_timeout: how long to wait for a result unless a call specifies it; None for ever.
        max_packet: largest packet taken from a server, bytes.
        payload: how payloads are sent and results read: "bytes" (text is sent as UTF-8), "text", or "json", the other end of
            a function with ``payload: json``. Each call may override it.
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
        payload: Literal["bytes"] = "bytes",
        **options: Unpack[ClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: Client[str],
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        payload: Literal["text"],
        **options: Unpack[ClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: Client[Any],
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        payload: Literal["json"],
        **options: Unpack[ClientOptions],
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
        settings = ClientSettings(
            servers,
            exceptions=exceptions,
            connect_timeout=connect_timeout,
            request_timeout=request_timeout,
            job_timeout=job_timeout,
            max_packet=max_packet,
            modules=modules,
        )
        self.servers: tuple[ServerSettings, ...] = settings.servers
        self.request_timeout: float = settings.request_timeout
        self.admin: Admin = Admin(self.servers, timeout=self.request_timeout, modules=settings.modules)
        super().__init__(Dispatch(settings, self.admin.cancel), Codec(payload))

    def __repr__(self) -> str:
        state = " closed" if self._dispatch.pool.closed else ""
        return f"<Client {', '.join(self._dispatch.names)}{state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Calls that still wait raise ConnectionLost. Idempotent."""
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
            return self._dispatch.first_known(self._dispatch.names, unique_id(unique), deadline, BY_UNIQUE)
        if isinstance(job, JobFuture):
            job = job.job(deadline.timeout())
        assert job is not None
        names, handle = whom_to_ask(job, self._dispatch.names)
        return self._dispatch.first_known(names, handle, deadline, BY_HANDLE)

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
        name = known_server(server, self._dispatch.names)
        return self._dispatch.ask(name, PacketType.ECHO_REQ, PacketType.ECHO_RES, BYTES.encode(data), deadline)[0]
