"""The submitting half of `AsyncClient`: one job at a time. Floor 3.

Law: what is asked for is checked before anything is sent; each method is the one of `Client` with the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, overload

from gearpool.client.aio.dispatch import AsyncDispatch
from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.events import ignore
from gearpool.client.orders import Payload, Priority, When, check_retry, checked_unique, make_order
from gearpool.client.payloads import Codec, R, codec_of
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET
from gearpool.settings import PayloadKind
from gearpool.timing import Duration


class AsyncSubmitting(Generic[R]):
    """Submits jobs through a dispatch. Users make a `gearpool.AsyncClient`."""

    def __init__(self, dispatch: AsyncDispatch, codec: Codec) -> None:
        self._dispatch = dispatch
        self._codec = codec

    @overload
    async def submit_job(
        self,
        function: str | bytes,
        data: R | Payload = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> R: ...

    @overload
    async def submit_job(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: PayloadKind,
        on_event: Callable[[Event], object] | None = None,
    ) -> Any: ...

    async def submit_job(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: PayloadKind | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> Any:
        """Submit a job and wait for its result.

        Cancelling this gives the job up, as `AsyncJob.cancel` does.

        Args:
            function: its name, at most 255 bytes.
            data: the payload: bytes, text (sent as UTF-8) or None; what JSON can say with ``payload="json"``.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes. Jobs of one function with the same id are one job while it waits or runs.
            timeout: seconds, or a timedelta, until JobTimedOut; None for ever; the client's ``job_timeout`` if not given.
            retry: how many times it may be submitted again when the connection is lost. Needs ``unique``, under which
                the server recognises a job that it still has. A job that had ended just then runs again.
            reducer: name of the reduce function.
            payload: "bytes", "text" or "json"; the client's if not given. The result is read alike.
            on_event: called with each Data, Warned and Progress, in the event loop's thread.

        Raises:
            JobFailed: WORK_FAIL. ``error.accept(value)`` settles for a value.
            JobException: WORK_EXCEPTION, with ``payload``.
            JobTimedOut: it did not end in time; it may still run.
            TimedOut: ``timeout`` was over before a server could be reached.
            NoServersAvailable: no server could be reached.
            SubmitUnknown: it was sent and never acknowledged: it may or may not exist.
            ConnectionLost: the connection broke while it ran.
            ServerError: the server refused it.
            UndecodableResult: it ended well, but its result is not of this kind of payload.
            InvalidArgument: a value cannot be sent.
            UsageError: the client is closed, or in use on another event loop.
        """
        return await (
            await self._submit(function, data, priority, unique, timeout, retry, reducer, payload, on_event or ignore)
        )

    @overload
    async def submit(
        self,
        function: str | bytes,
        data: R | Payload = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> AsyncJob[R]: ...

    @overload
    async def submit(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: PayloadKind,
        on_event: Callable[[Event], object] | None = None,
    ) -> AsyncJob[Any]: ...

    async def submit(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: PayloadKind | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> AsyncJob[Any]:
        """Submit a job and go on; any number may be under way on one connection. See `submit_job` for the arguments.

        It waits only where it must: for a connection, or for a server that does not read. Cancelled while it waits, it
        has submitted nothing.

        Returns:
            The job, an `asyncio.Future`: await it for its result.

        Raises:
            NoServersAvailable: no server could be reached.
            TimedOut: ``timeout`` was over before a server could be reached.
            InvalidArgument: a value cannot be sent.
            UsageError: the client is closed, or in use on another event loop.
        """
        return await self._submit(function, data, priority, unique, timeout, retry, reducer, payload, on_event)

    @overload
    async def submit_background_job(
        self,
        function: str | bytes,
        data: R | Payload = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: Duration | None = None,
        reducer: str | bytes | None = None,
        payload: None = None,
        timeout: Duration | None = UNSET,
    ) -> JobHandle: ...

    @overload
    async def submit_background_job(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: Duration | None = None,
        reducer: str | bytes | None = None,
        payload: PayloadKind,
        timeout: Duration | None = UNSET,
    ) -> JobHandle: ...

    async def submit_background_job(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: Duration | None = None,
        reducer: str | bytes | None = None,
        payload: PayloadKind | None = None,
        timeout: Duration | None = UNSET,
    ) -> JobHandle:
        """Hand a job to a server and return when the server has it.

        Cancelled meanwhile, it leaves open whether the server has it, as `SubmitUnknown` does.

        Args:
            function: its name.
            data: the payload, as for `submit_job`.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes; a fresh one is made if none is given, for servers with a persistent queue need it.
            at: run it not before then: seconds since 1970, or an aware datetime.
            delay: likewise, from now: seconds or a timedelta.
            reducer: name of the reduce function.
            payload: "bytes", "text" or "json"; the client's if not given.
            timeout: seconds, or a timedelta, for connecting and for the server's acknowledgement together; the client's
                ``request_timeout`` if not given.

        Raises:
            SubmitUnknown: no acknowledgement came: the job may or may not exist. Submitting it again under the same
                ``unique`` is safe while it waits or runs.
            ServerError: refused; QUEUE_ERROR means that the queue is full.
            NoServersAvailable: no server could be reached.
            TimedOut: there was no connection in time.
            InvalidArgument: a value cannot be sent.
            UsageError: the client is closed, or in use on another event loop.
        """
        order = make_order(function, background=True, priority=priority, at=at, delay=delay, reducer=reducer)
        key = checked_unique(unique)
        codec = codec_of(payload, self._codec)
        raw = codec.encode(data)
        dispatch = self._dispatch
        dispatch.enter()
        limit = dispatch.request_deadline(timeout)
        job: AsyncJob[Any] = AsyncJob(dispatch, order, key or dispatch.fresh_unique(), raw, limit, codec)
        await dispatch.send([job])
        await job
        return job._accepted()

    async def _submit(
        self,
        function: str | bytes,
        data: Any,
        priority: Priority | None,
        unique: str | bytes | None,
        timeout: Duration | None,
        retry: int,
        reducer: str | bytes | None,
        payload: PayloadKind | None,
        on_event: Callable[[Event], object] | None,
    ) -> AsyncJob[Any]:
        order = make_order(function, priority=priority, reducer=reducer)
        key = checked_unique(unique)
        check_retry(retry, has_unique=bool(key))
        codec = codec_of(payload, self._codec)
        raw = codec.encode(data)
        dispatch = self._dispatch
        dispatch.enter()
        limit = dispatch.job_deadline(timeout)
        job: AsyncJob[Any] = AsyncJob(
            dispatch, order, key, raw, limit, codec, retries=retry, verify=bool(key), on_event=on_event
        )
        await dispatch.send([job])
        return job
