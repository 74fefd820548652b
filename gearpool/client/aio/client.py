"""`AsyncClient`: submits jobs, waits for them, asks about them, on an asyncio loop. Floor 3.

Every call ends, as with `Client`. No thread waits for a server, and the loop's default executor is never used, because
it belongs to the application. A client serves one loop, the one on which it is first used.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from gearpool.client.aio.admin import AsyncAdmin
from gearpool.client.aio.dispatch import AsyncDispatch
from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.many import AsyncSubmittingMany
from gearpool.client.asking import known_server, one_of, whom_to_ask
from gearpool.client.defaults import CONNECT_TIMEOUT_S, JOB_TIMEOUT_S, REQUEST_TIMEOUT_S, ClientOptions, ClientSettings
from gearpool.client.dispatching import BY_HANDLE, BY_UNIQUE
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


class AsyncClient(AsyncSubmittingMany[R]):
    """A client of one or several job servers for asyncio. Use it with ``async with``, or call `close`.

    It may be made anywhere, also at import and before a fork; nothing is connected before the first call. One client
    serves all tasks of one event loop. Not for a process that gevent has monkey-patched: there use `gearpool.Client`.

    Arguments are those of `gearpool.Client`; of ``modules`` only the resolver of names is used.

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
        payload: Literal["bytes"] = "bytes",
        **options: Unpack[ClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: AsyncClient[str],
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        payload: Literal["text"],
        **options: Unpack[ClientOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: AsyncClient[Any],
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
        self.admin: AsyncAdmin = AsyncAdmin(self.servers, timeout=self.request_timeout, modules=settings.modules)
        super().__init__(AsyncDispatch(settings, self.admin.cancel), Codec(payload))

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
        """Close all connections. Jobs that are still awaited fail with ConnectionLost. Idempotent."""
        await self._dispatch.close()

    async def get_job_status(
        self,
        job: JobHandle | AsyncJob[Any] | str | None = None,
        *,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
    ) -> JobStatus:
        """What the servers know of a job; arguments and errors are those of `gearpool.Client.get_job_status`."""
        dispatch = self._dispatch
        dispatch.enter()
        deadline = dispatch.request_deadline(timeout)
        one_of(job, unique)
        if unique is not None:
            return await dispatch.first_known(dispatch.names, unique_id(unique), deadline, BY_UNIQUE)
        if isinstance(job, AsyncJob):
            job = await job.job(deadline.timeout())
        assert job is not None
        names, handle = whom_to_ask(job, dispatch.names)
        return await dispatch.first_known(names, handle, deadline, BY_HANDLE)

    async def echo(
        self, data: Payload = b"gearpool", *, server: str | None = None, timeout: Duration | None = UNSET
    ) -> bytes:
        """Send ``data`` to a server and back; arguments and errors are those of `gearpool.Client.echo`."""
        dispatch = self._dispatch
        dispatch.enter()
        deadline = dispatch.request_deadline(timeout)
        name = known_server(server, dispatch.names)
        return (await dispatch.ask(name, PacketType.ECHO_REQ, PacketType.ECHO_RES, BYTES.encode(data), deadline))[0]
