"""The submitting half of `AsyncClient`: one job at a time. Floor 3.

Arguments are checked before anything is sent; each method is the one of `Client` with the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Unpack, overload

from gearpool.client.aio.dispatch import AsyncDispatch
from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.events import ignore
from gearpool.client.orders import (
    BackgroundOptions,
    Payload,
    Priority,
    SubmitOptions,
    When,
    check_retry,
    checked_unique,
    make_order,
)
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
        self, function: str | bytes, data: R | Payload = None, *, payload: None = None, **options: Unpack[SubmitOptions]
    ) -> R: ...

    @overload
    async def submit_job(
        self, function: str | bytes, data: Any = None, *, payload: PayloadKind, **options: Unpack[SubmitOptions]
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
        """Submit a job and await its result; arguments and errors are those of `gearpool.Client.submit_job`.

        Cancelling the awaiting task cancels the job, as `AsyncJob.cancel` does.
        """
        return await (
            await self._submit(function, data, priority, unique, timeout, retry, reducer, payload, on_event or ignore)
        )

    @overload
    async def submit(
        self, function: str | bytes, data: R | Payload = None, *, payload: None = None, **options: Unpack[SubmitOptions]
    ) -> AsyncJob[R]: ...

    @overload
    async def submit(
        self, function: str | bytes, data: Any = None, *, payload: PayloadKind, **options: Unpack[SubmitOptions]
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
        """Submit a job and return it, an `asyncio.Future`; arguments and errors are those of `gearpool.Client.submit`.

        It waits only where it must: for a connection, or for a server that does not read. A task that is cancelled while
        it waits has submitted nothing.
        """
        return await self._submit(function, data, priority, unique, timeout, retry, reducer, payload, on_event)

    @overload
    async def submit_background_job(
        self,
        function: str | bytes,
        data: R | Payload = None,
        *,
        payload: None = None,
        **options: Unpack[BackgroundOptions],
    ) -> JobHandle: ...

    @overload
    async def submit_background_job(
        self, function: str | bytes, data: Any = None, *, payload: PayloadKind, **options: Unpack[BackgroundOptions]
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
        """Have a job run without waiting; arguments and errors are those of `gearpool.Client.submit_background_job`.

        It returns when the server has acknowledged the job. If it is cancelled before, the server may or may not have the
        job, as with `SubmitUnknown`.
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
