"""`AsyncClient`: submits jobs, waits for them, asks about them, on an asyncio loop. Floor 3.

Law: every call has an end, as with `Client`. No thread waits for a server, and the loop's default executor is never
used: it belongs to the application. A client serves one loop, the one on which it is first used.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, overload

from gearpool.client.aio.admin import AsyncAdmin
from gearpool.client.aio.dispatch import AsyncDispatch
from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.many import AsyncSubmittingMany
from gearpool.client.asking import known_server, one_of, whom_to_ask
from gearpool.client.defaults import CONNECT_TIMEOUT_S, JOB_TIMEOUT_S, REQUEST_TIMEOUT_S
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


class AsyncClient(AsyncSubmittingMany[R]):
    """A client of one or several job servers for asyncio. Use it with ``async with``, or call `close`.

    It may be made anywhere, also at import and before a fork; nothing is connected before the first call. One client
    serves all tasks of one event loop. Not for a process that gevent has monkey-patched: there use `gearpool.Client`.

    Args:
        servers: ``"host:port"``, several with commas between or as a list, or what `gearpool.net.addresses` takes.
        exceptions: ask the servers to pass WORK_EXCEPTION on (`JobException`); without it such jobs just fail.
        connect_timeout: for one server to be reached; like all durations, seconds or a timedelta.
        request_timeout: for a request to be answered, connecting included.
        job_timeout: how long a result is waited for when a call does not say; None for ever.
        max_packet: largest packet taken from a server, bytes.
        payload: how payloads are sent and results read: "bytes" (text is sent as UTF-8), "text", or "json", the other end of
            a function with ``payload: json``. Each call may say otherwise.
        modules: another resolver of names than the standard library's.

    Attributes:
        servers: the servers, in the order given.
        request_timeout: seconds.
        admin: the servers' text protocol: queues, workers, cancel and the like.

    Raises:
        InvalidArgument: an argument is wrong.
    """

    @overload
    def __init__(
        self: AsyncClient[bytes],
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
        self: AsyncClient[str],
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
        self: AsyncClient[Any],
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
        self.admin: AsyncAdmin = AsyncAdmin(self.servers, timeout=self.request_timeout, modules=modules)
        dispatch = AsyncDispatch(
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
        state = " closed" if self._dispatch.closed else ""
        return f"<AsyncClient {', '.join(self._dispatch.names)}{state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Whoever still awaits a job gets ConnectionLost. May be called again."""
        await self._dispatch.close()

    async def get_job_status(
        self,
        job: JobHandle | AsyncJob[Any] | str | None = None,
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
        dispatch = self._dispatch
        dispatch.enter()
        deadline = dispatch.request_deadline(timeout)
        one_of(job, unique)
        if unique is not None:
            return await dispatch.first_known(dispatch.names, unique_id(unique), deadline, by_unique=True)
        if isinstance(job, AsyncJob):
            job = await job.job(deadline.timeout())
        assert job is not None
        names, handle = whom_to_ask(job, dispatch.names)
        return await dispatch.first_known(names, handle, deadline, by_unique=False)

    async def echo(
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
        dispatch = self._dispatch
        dispatch.enter()
        deadline = dispatch.request_deadline(timeout)
        name = known_server(server, dispatch.names)
        return (await dispatch.ask(name, PacketType.ECHO_REQ, PacketType.ECHO_RES, BYTES.encode(data), deadline))[0]
