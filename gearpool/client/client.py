"""`Client`: submits jobs, waits for them, asks about them. Floor 3.

Law: every call has an end: connecting, acknowledging and asking within ``request_timeout``, a job's result within
``job_timeout``; only an explicit ``timeout=None`` waits for ever. Threads share one client freely, and so do greenlets
of a monkey-patched process.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from gearpool.client.admin import Admin
from gearpool.client.asking import known_server, one_of, whom_to_ask
from gearpool.client.dispatch import Dispatch
from gearpool.client.futures import JobFuture
from gearpool.client.orders import Payload
from gearpool.client.payloads import BYTES
from gearpool.client.results import JobHandle, JobStatus
from gearpool.client.submission import UNSET
from gearpool.client.submitting import Submitting
from gearpool.net.addresses import ServerLike, parse_servers
from gearpool.net.dialing import standard
from gearpool.net.modules import Modules
from gearpool.protocol.codec import DEFAULT_MAX_PACKET
from gearpool.protocol.names import unique_id
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline

REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
JOB_TIMEOUT_S = 300.0


class Client(Submitting):
    """A client of one or several job servers. Use it as a context manager, or call `close`.

    Args:
        servers: ``"host:port"``, several with commas between or as a list, or what `gearpool.net.addresses` takes.
        exceptions: ask the servers to pass WORK_EXCEPTION on (`JobException`); without it such jobs just fail.
        connect_timeout: seconds for one server to be reached.
        request_timeout: seconds for a request to be answered, connecting included.
        job_timeout: seconds a result is waited for when a call does not say; None for ever.
        max_packet: largest packet taken from a server, bytes.
        modules: other modules than the standard library's to take sockets from.

    Raises:
        InvalidArgument: a server's address is wrong. Nothing is connected before the first call.
    """

    def __init__(
        self,
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        exceptions: bool = True,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        request_timeout: float = REQUEST_TIMEOUT_S,
        job_timeout: float | None = JOB_TIMEOUT_S,
        max_packet: int = DEFAULT_MAX_PACKET,
        modules: Modules | None = None,
    ) -> None:
        self.servers = parse_servers(servers)
        self.request_timeout = request_timeout
        modules = modules or standard()
        self.admin = Admin(self.servers, timeout=request_timeout, modules=modules)
        """The servers' text protocol: queues, workers, cancel and the like."""
        dispatch = Dispatch(
            self.servers,
            exceptions=exceptions,
            connect_timeout=connect_timeout,
            request_timeout=request_timeout,
            job_timeout=job_timeout,
            max_packet=max_packet,
            modules=modules,
        )
        super().__init__(dispatch)

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
        job: JobHandle | JobFuture | str | None = None,
        *,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
    ) -> JobStatus:
        """What the servers know of a job.

        Args:
            job: what a submission returned, or its ``server/handle``, or a bare handle (all servers are asked then).
            unique: instead of a job: ask by unique id, all servers.
            timeout: seconds; the client's ``request_timeout`` if not given.

        Raises:
            NoServersAvailable: the server that made the handle cannot be reached; or, of several, none that knows it.
            TimedOut: no answer.
            ConnectionLost: the connection broke first.
            InvalidArgument: no handle.
        """
        deadline = Deadline.after(self.request_timeout if timeout is UNSET else timeout)
        one_of(job, unique)
        if unique is not None:
            return self._dispatch.first_known(self._dispatch.names(), unique_id(unique), deadline, by_unique=True)
        if isinstance(job, JobFuture):
            job = job.job(deadline.timeout())
        assert job is not None
        names, handle = whom_to_ask(job, self._dispatch.names())
        return self._dispatch.first_known(names, handle, deadline, by_unique=False)

    def echo(self, data: Payload = b"gearpool", *, server: str | None = None, timeout: float | None = UNSET) -> bytes:
        """Send ``data`` to a server and back.

        Args:
            data: what to send.
            server: ``host:port`` of one of the client's servers; the first if not given.
            timeout: seconds; the client's ``request_timeout`` if not given.

        Raises:
            NoServersAvailable: it cannot be reached.
            TimedOut: no answer.
            ConnectionLost: the connection broke first.
        """
        deadline = Deadline.after(self.request_timeout if timeout is UNSET else timeout)
        name = known_server(server, self._dispatch.names())
        return self._dispatch.ask(name, PacketType.ECHO_REQ, PacketType.ECHO_RES, BYTES.encode(data), deadline)[0]
