"""The submitting half of `AsyncClient`: many jobs at once. Floor 3.

Each method is the one of `Client` with the same name, for iterables and async iterables.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any, Literal, TypeVar, Unpack, overload

from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.submitting import AsyncSubmitting
from gearpool.client.aio.windows import Iteration, windowed
from gearpool.client.batches import BatchJobOptions, BatchOptions, MakerOptions, UniqueOf, job_makers
from gearpool.client.orders import Payload, Priority
from gearpool.client.payloads import R, codec_of
from gearpool.client.results import JobHandle
from gearpool.client.submission import UNSET
from gearpool.errors import GearpoolError
from gearpool.settings import PayloadKind
from gearpool.timing import Duration

_Item = TypeVar("_Item")

Items = Iterable[_Item] | AsyncIterable[_Item]


class AsyncSubmittingMany(AsyncSubmitting[R]):
    """Submits many jobs through a dispatch. Users make a `gearpool.AsyncClient`."""

    @overload
    def submit_background_jobs(
        self, function: str | bytes, items: Items[R | Payload], *, payload: None = None, **options: Unpack[BatchOptions]
    ) -> Iteration[JobHandle]: ...

    @overload
    def submit_background_jobs(
        self, function: str | bytes, items: Items[Any], *, payload: PayloadKind, **options: Unpack[BatchOptions]
    ) -> Iteration[JobHandle]: ...

    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Items[Any],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        payload: PayloadKind | None = None,
    ) -> Iteration[JobHandle]:
        """Hand many jobs to the servers; arguments and errors are those of `gearpool.Client.submit_background_jobs`.

        ``items`` may be an async iterable, too. Nothing is submitted before the iteration begins, and no more after it has
        ended; an iteration that never begins is a RuntimeWarning.
        """
        jobs = self._windowed(
            function, items, window=window, priority=priority, unique=unique, payload=payload, background=True
        )
        return Iteration(jobs, _handle, "submit_background_jobs", ends=False)

    @overload
    def submit_many(
        self,
        function: str | bytes,
        items: Items[R | Payload],
        *,
        background: bool = False,
        payload: None = None,
        on_done: Callable[[AsyncJob[Any]], object] | None = None,
        **options: Unpack[BatchJobOptions],
    ) -> Iteration[AsyncJob[R]]: ...

    @overload
    def submit_many(
        self,
        function: str | bytes,
        items: Items[Any],
        *,
        background: bool = False,
        payload: PayloadKind,
        on_done: Callable[[AsyncJob[Any]], object] | None = None,
        **options: Unpack[BatchJobOptions],
    ) -> Iteration[AsyncJob[Any]]: ...

    def submit_many(
        self,
        function: str | bytes,
        items: Items[Any],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        background: bool = False,
        payload: PayloadKind | None = None,
        on_done: Callable[[AsyncJob[Any]], object] | None = None,
    ) -> Iteration[AsyncJob[Any]]:
        """One submission an item, many at once; arguments and errors are those of `gearpool.Client.submit_many`.

        ``items`` may be an async iterable, too, and ``on_done`` is called by the event loop. Nothing is submitted before the
        iteration begins, and no more after it has ended; an iteration that never begins is a RuntimeWarning.
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
            payload=payload,
            on_done=on_done,
        )
        return Iteration(jobs, _itself, "submit_many")

    @overload
    def map(
        self,
        function: str | bytes,
        items: Items[R | Payload],
        *,
        payload: None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[BatchJobOptions],
    ) -> Iteration[R]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Items[R | Payload],
        *,
        payload: None = None,
        return_exceptions: Literal[True],
        **options: Unpack[BatchJobOptions],
    ) -> Iteration[R | GearpoolError]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Items[Any],
        *,
        payload: PayloadKind,
        return_exceptions: bool = False,
        **options: Unpack[BatchJobOptions],
    ) -> Iteration[Any]: ...

    def map(
        self,
        function: str | bytes,
        items: Items[Any],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        payload: PayloadKind | None = None,
        return_exceptions: bool = False,
    ) -> Iteration[Any]:
        """The results of ``function`` for each item, in order; arguments and errors are those of `gearpool.Client.map`.

        ``items`` may be an async iterable, too. Nothing is submitted before the iteration begins; an iteration that never
        begins is a RuntimeWarning. Jobs that are under way when the iteration is given up run on.
        """
        jobs = self._windowed(
            function,
            items,
            window=window,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            payload=payload,
            keep_places=return_exceptions,
        )
        return Iteration(jobs, _result_or_error if return_exceptions else _result, "map")

    def _windowed(
        self,
        function: str | bytes,
        items: Items[Any],
        *,
        window: int,
        payload: PayloadKind | None = None,
        keep_places: bool = False,
        **options: Unpack[MakerOptions],
    ) -> AsyncGenerator[AsyncJob[Any], None]:
        dispatch = self._dispatch
        codec = codec_of(payload, self._codec)
        maker, refused = job_makers(dispatch, AsyncJob, function, codec, dispatch.enter, **options)
        return windowed(items, maker, dispatch.send_or_settle, window, refused if keep_places else None)


async def _itself(job: AsyncJob[Any]) -> AsyncJob[Any]:
    return job


async def _handle(job: AsyncJob[Any]) -> JobHandle:
    if not job.done():
        await job
    else:
        job.exception()
    return job._accepted()


async def _result(job: AsyncJob[Any]) -> Any:
    return await job


async def _result_or_error(job: AsyncJob[Any]) -> Any:
    try:
        return await job
    except GearpoolError as error:
        return error
