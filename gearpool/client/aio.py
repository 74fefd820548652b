"""`AsyncClient`: the same client for asyncio. Floor 3.

Law: an adapter and nothing more. A `Client` does the work, its reader thread tells the event loop what came, and what
may wait (connecting, asking) goes to a thread of the loop's executor; waiting for jobs takes no thread. Not for a
process that gevent has patched: there use `Client`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from gearpool.client.client import Client
from gearpool.client.futures import JobFuture
from gearpool.client.orders import Payload, Priority, When
from gearpool.client.results import Event, JobHandle, JobStatus
from gearpool.client.submission import UNSET
from gearpool.errors import GearpoolError, JobTimedOut
from gearpool.net.addresses import ServerLike
from gearpool.timing import Deadline

_P = ParamSpec("_P")
_T = TypeVar("_T")


class AsyncJob:
    """A submitted job. Made by `AsyncClient.submit`; ``await`` it for its result."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._ended = asyncio.Event()
        self._future: JobFuture | None = None

    def __await__(self) -> Any:
        return self.result().__await__()

    @property
    def future(self) -> JobFuture:
        """The same job in the threads' world: its handle, server, function and unique id."""
        assert self._future is not None
        return self._future

    async def result(self) -> bytes:
        """Wait for the result. Raises as `JobFuture.result`."""
        future = self.future
        await self._end()
        # Settled, or its time is over: it does not wait here.
        return future.result(0)

    async def job(self) -> JobHandle:
        """Wait until the server has accepted it. Raises as `JobFuture.job`."""
        return await asyncio.to_thread(self.future.job)

    async def events(self) -> AsyncIterator[Event]:
        """What the worker sends while the job runs, each once, until it has ended; then await the result.

        Raises:
            JobTimedOut: the job did not end in time.
        """
        ending = asyncio.ensure_future(self._end())
        try:
            while True:
                getting = asyncio.ensure_future(self._events.get())
                await asyncio.wait({getting, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    if self.future.done():
                        return
                    raise JobTimedOut(f"job {self.future.handle} did not end in time", self.future.handle or "")
                event = getting.result()
                if event is None:
                    return
                yield event
        finally:
            ending.cancel()

    def attach(self, future: JobFuture) -> None:
        """The submission is out: hear of its end."""
        self._future = future
        future.add_done_callback(lambda _: self._tell(self._over))

    def heard(self, event: Event) -> None:
        """In the reader's thread: an event came."""
        self._tell(self._events.put_nowait, event)

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _over(self) -> None:
        self._ended.set()
        self._events.put_nowait(None)

    async def _end(self) -> None:
        """Until the job has ended or its time is over; meanwhile its server is asked now and then, as threads do."""
        future = self.future
        checks = 0
        while not self._ended.is_set():
            pause = Deadline.after(
                future.pause(checks, 0.0 if future.handle else future._dispatch.silence(future))
            ).earlier(future.deadline)
            try:
                await asyncio.wait_for(self._ended.wait(), pause.timeout())
            except TimeoutError:
                if future.deadline.expired():
                    return
                await asyncio.to_thread(future.check)
                checks += 1


class AsyncClient:
    """A client of one or several job servers for asyncio; use it with ``async with``.

    Args:
        servers: as for `Client`.
        options: the other arguments of `Client`.

    Attributes:
        sync: the `Client` that does the work, for what is not here: ``await asyncio.to_thread(client.sync.admin.status)``.
    """

    def __init__(self, servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730", **options: Any) -> None:
        self.sync = Client(servers, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.to_thread(self.sync.close)

    async def submit(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
    ) -> AsyncJob:
        """Submit a job and go on. See `Client.submit_job`."""
        job = AsyncJob(asyncio.get_running_loop())
        future = await self._run(
            self.sync.submit,
            function,
            data,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            reducer=reducer,
            on_event=job.heard,
        )
        job.attach(future)
        return job

    async def submit_job(self, function: str | bytes, data: Payload = b"", **options: Any) -> bytes:
        """Submit a job and wait for its result. See `Client.submit_job`."""
        return await (await self.submit(function, data, **options)).result()

    async def submit_background_job(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: float | None = None,
    ) -> JobHandle:
        """Hand a job to a server. See `Client.submit_background_job`."""
        return await self._run(
            self.sync.submit_background_job, function, data, priority=priority, unique=unique, at=at, delay=delay
        )

    async def map(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        return_exceptions: bool = False,
        **options: Any,
    ) -> AsyncIterator[bytes | GearpoolError]:
        """One job an item, many at once; the results in order, in constant memory. See `Client.map`."""
        loop = asyncio.get_running_loop()
        # Of the window a part is taken at a time: a thread is asked once for many.
        part = max(1, window // 4)
        futures = self.sync.submit_many(function, items, window=max(1, window - part), **options)
        while chunk := await self._run(lambda: list(itertools.islice(futures, part))):
            for future in chunk:
                job = AsyncJob(loop)
                job.attach(future)
                try:
                    yield await job.result()
                except GearpoolError as error:
                    if not return_exceptions:
                        raise
                    yield error

    async def get_job_status(
        self, job: JobHandle | AsyncJob | str | None = None, *, unique: str | bytes | None = None
    ) -> JobStatus:
        """What the servers know of a job. See `Client.get_job_status`."""
        asked = job.future if isinstance(job, AsyncJob) else job
        return await self._run(self.sync.get_job_status, asked, unique=unique)

    async def echo(self, data: Payload = b"gearpool") -> bytes:
        """Send ``data`` to a server and back."""
        return await self._run(self.sync.echo, data)

    @staticmethod
    async def _run(call: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
        return await asyncio.to_thread(call, *arguments, **options)
