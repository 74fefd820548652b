"""The submitting half of `AsyncClient`. Floor 3.

Law: what is asked for is checked before anything is sent; each method is the one of `Client` with the same name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from typing import Literal, overload

from gearpool.client.aio.dispatch import AsyncDispatch
from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.windows import Iteration, windowed
from gearpool.client.events import ignore
from gearpool.client.orders import Payload, Priority, When, check_retry, checked_unique, make_order
from gearpool.client.payloads import BYTES
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET
from gearpool.errors import GearpoolError
from gearpool.timing import Deadline

UniqueOf = Callable[[Payload], str | bytes]
Items = Iterable[Payload] | AsyncIterable[Payload]


class AsyncSubmitting:
    """Submits jobs through a dispatch. Users make a `gearpool.AsyncClient`."""

    def __init__(self, dispatch: AsyncDispatch) -> None:
        self._dispatch = dispatch

    async def submit_job(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> bytes:
        """Submit a job and wait for its result.

        Cancelling it gives the job up, as cancelling an `AsyncJob` does: the server still runs it.

        Args:
            function: its name, at most 255 bytes.
            data: the payload; a str is sent as UTF-8.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes. Jobs of one function with the same id are one job while it waits or runs.
            timeout: seconds until JobTimedOut; None for ever; the client's ``job_timeout`` if not given.
            retry: how many times it may be submitted again when the connection is lost. Needs ``unique``, under which
                the server recognises a job that it still has. A job that had ended just then runs again.
            reducer: name of the reduce function.
            on_event: called with each Data, Warned and Progress, in the event loop's thread.

        Raises:
            JobFailed: WORK_FAIL. ``error.accept(value)`` settles for a value.
            JobException: WORK_EXCEPTION, with ``payload``.
            JobTimedOut: it did not end in time; it may still run.
            NoServersAvailable: no server could be reached.
            SubmitUnknown: it was sent and never acknowledged: it may or may not exist.
            ConnectionLost: the connection broke while it ran.
            ServerError: the server refused it.
            InvalidArgument: a value cannot be sent.
        """
        return await (
            await self.submit(
                function,
                data,
                priority=priority,
                unique=unique,
                timeout=timeout,
                retry=retry,
                reducer=reducer,
                on_event=on_event or ignore,
            )
        )

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
        on_event: Callable[[Event], None] | None = None,
    ) -> AsyncJob:
        """Submit a job and go on; any number may be under way on one connection. See `submit_job` for the arguments.

        It waits only where it must: for a connection, or for a server that does not read. Cancelled while it waits, it
        has submitted nothing.

        Returns:
            The job, an `asyncio.Future`: await it for its result.

        Raises:
            NoServersAvailable: no server could be reached.
            TimedOut: there was no connection in time.
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, priority=priority, reducer=reducer)
        key = checked_unique(unique)
        check_retry(retry, has_unique=bool(key))
        raw = BYTES.encode(data)
        dispatch = self._dispatch
        dispatch.enter()
        job = AsyncJob(
            dispatch,
            order,
            key,
            raw,
            dispatch.job_deadline(timeout),
            retries=retry,
            verify=bool(key),
            on_event=on_event,
        )
        await dispatch.send([job])
        return job

    async def submit_background_job(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: float | None = None,
        reducer: str | bytes | None = None,
        timeout: float | None = UNSET,
    ) -> JobHandle:
        """Hand a job to a server and return when the server has it.

        Cancelled meanwhile, it leaves open whether the server has it, as `SubmitUnknown` does.

        Args:
            function: its name.
            data: the payload.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes; a fresh one is made if none is given, for servers with a persistent queue need it.
            at: run it not before then: seconds since 1970, or an aware datetime.
            delay: likewise, in seconds from now.
            reducer: name of the reduce function.
            timeout: seconds for the server's acknowledgement; the client's ``request_timeout`` if not given.

        Raises:
            SubmitUnknown: no acknowledgement came: the job may or may not exist. Submitting it again under the same
                ``unique`` is safe while it waits or runs.
            ServerError: refused; QUEUE_ERROR means that the queue is full.
            NoServersAvailable: no server could be reached.
            TimedOut: there was no connection in time.
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, background=True, priority=priority, at=at, delay=delay, reducer=reducer)
        key = checked_unique(unique)
        raw = BYTES.encode(data)
        dispatch = self._dispatch
        dispatch.enter()
        limit = Deadline.after(dispatch.request_timeout if timeout is UNSET else timeout)
        job = AsyncJob(dispatch, order, key or dispatch.fresh_unique(), raw, limit)
        await dispatch.send([job])
        await job
        return job.accepted()

    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
    ) -> Iteration[JobHandle]:
        """Hand many jobs to the servers, pipelined; yields their handles in order, at most ``window`` unacknowledged.

        Nothing is submitted before the iteration begins, and no more after it has ended; one that never begins warns.

        Args:
            function: its name.
            items: payloads, of an iterable or an async iterable; may be endless.
            window: how many submissions are under way at most.
            priority: as for `submit_background_job`.
            unique: gives the unique id for a payload.

        Raises:
            As `submit_background_job`, when the turn of the job concerned has come.
        """
        jobs = self._windowed(function, items, window=window, priority=priority, unique=unique, background=True)
        return Iteration(_handles(jobs), "submit_background_jobs()")

    def submit_many(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        background: bool = False,
        on_done: Callable[[AsyncJob], None] | None = None,
    ) -> Iteration[AsyncJob]:
        """One submission an item, many at once; yields the jobs in the order of the items, in constant memory.

        Args:
            function: its name.
            items: payloads, of an iterable or an async iterable; may be endless, they are taken as the window moves on.
            window: how many yet unfinished jobs are submitted ahead of the one that is yielded.
            priority: as for `submit_job`.
            unique: gives the unique id for a payload.
            timeout: seconds for each job.
            retry: as for `submit_job`; needs ``unique``.
            background: background jobs, which are done when they are acknowledged.
            on_done: called by the event loop with each job when it is done.

        What cannot be sent, because no server can be reached, is yielded all the same: awaiting it says so. An item that
        cannot be sent, and an error of ``items``, is raised after everything before it has been yielded.

        Raises:
            InvalidArgument: a value cannot be sent.
        """
        jobs = self._windowed(
            function,
            items,
            window=window,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            background=background,
            on_done=on_done,
        )
        return Iteration(jobs, "submit_many()")

    @overload
    def map(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: Literal[False] = False,
    ) -> Iteration[bytes]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: Literal[True],
    ) -> Iteration[bytes | GearpoolError]: ...

    def map(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: bool = False,
    ) -> Iteration[bytes] | Iteration[bytes | GearpoolError]:
        """One job an item, many at once; yields the results in the order of the items, in constant memory.

        Nothing is submitted before the iteration begins. What is under way when it is given up runs on.

        Args:
            function: its name.
            items: payloads, of an iterable or an async iterable; may be endless, they are taken as the window moves on.
            window: how many jobs are under way at most.
            priority: as for `submit_job`.
            unique: gives the unique id for a payload.
            timeout: seconds for each job.
            retry: as for `submit_job`; needs ``unique``.
            return_exceptions: yield errors instead of raising the first one.

        Raises:
            As `submit_job`, when the turn of the job concerned has come.
        """
        jobs = self._windowed(
            function, items, window=window, priority=priority, unique=unique, timeout=timeout, retry=retry
        )
        return Iteration(_results_or_errors(jobs) if return_exceptions else _results(jobs), "map()")

    def _windowed(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int,
        priority: Priority | None,
        unique: UniqueOf | None,
        timeout: float | None = UNSET,
        retry: int = 0,
        background: bool = False,
        on_done: Callable[[AsyncJob], None] | None = None,
    ) -> AsyncGenerator[AsyncJob, None]:
        order = make_order(function, background=background, priority=priority)
        check_retry(retry, has_unique=unique is not None)
        dispatch = self._dispatch
        dispatch.enter()
        limit = dispatch.request_timeout if background and timeout is UNSET else timeout
        verify = unique is not None and not background

        def make() -> Callable[[Payload], AsyncJob]:
            deadline = dispatch.job_deadline(limit)

            def job_of(item: Payload) -> AsyncJob:
                key = checked_unique(unique(item)) if unique is not None else b""
                if background and not key:
                    key = dispatch.fresh_unique()
                data = item if type(item) is bytes else BYTES.encode(item)
                job = AsyncJob(dispatch, order, key, data, deadline, retries=retry, verify=verify)
                if on_done is not None:
                    job.add_done_callback(on_done)
                return job

            return job_of

        return windowed(items, make, dispatch.send_or_settle, window)


async def _handles(jobs: AsyncGenerator[AsyncJob, None]) -> AsyncGenerator[JobHandle, None]:
    async with aclosing(jobs):
        async for job in jobs:
            if not job.done():
                await job
            yield job.accepted()


async def _results(jobs: AsyncGenerator[AsyncJob, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(jobs):
        async for job in jobs:
            yield await job


async def _results_or_errors(jobs: AsyncGenerator[AsyncJob, None]) -> AsyncGenerator[bytes | GearpoolError, None]:
    async with aclosing(jobs):
        async for job in jobs:
            try:
                result: bytes | GearpoolError = await job
            except GearpoolError as error:
                result = error
            yield result
