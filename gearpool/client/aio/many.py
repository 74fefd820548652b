"""The submitting half of `AsyncClient`: many jobs at once. Floor 3.

Law: as `submitting`; each method is the one of `Client` with the same name, for iterables and async iterables.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any, Literal, TypeVar, overload

from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.submitting import AsyncSubmitting
from gearpool.client.aio.windows import Iteration, windowed
from gearpool.client.batches import UniqueOf, job_makers
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
        self,
        function: str | bytes,
        items: Items[R | Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        payload: None = None,
    ) -> Iteration[JobHandle]: ...

    @overload
    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Items[Any],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        payload: PayloadKind,
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
        """Hand many jobs to the servers, pipelined; gives their handles in order, at most ``window`` unacknowledged.

        Nothing is submitted before the iteration begins, and no more after it has ended; one that never begins is a
        RuntimeWarning.

        Args:
            function: its name.
            items: payloads, of an iterable or an async iterable; may be endless.
            window: how many submissions are under way at most.
            priority: as for `submit_background_job`.
            unique: gives the unique id for an item.
            payload: "bytes", "text" or "json"; the client's if not given.

        Raises:
            As `submit_background_job`, when the turn of the job concerned has come; ``error.index`` is its item. The
            handles of the jobs behind it are had by iterating on. An item that cannot be sent, or an error of ``items``,
            ends the submissions, and is raised after the handles of all before it.
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
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        background: bool = False,
        payload: None = None,
        on_done: Callable[[AsyncJob[Any]], object] | None = None,
    ) -> Iteration[AsyncJob[R]]: ...

    @overload
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
        payload: PayloadKind,
        on_done: Callable[[AsyncJob[Any]], object] | None = None,
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
        """One submission an item, many at once; gives the jobs in the order of the items, in constant memory.

        Nothing is submitted before the iteration begins, and no more after it has ended; one that never begins is a
        RuntimeWarning.

        Args:
            function: its name.
            items: payloads, of an iterable or an async iterable; may be endless, they are taken as the window moves on.
            window: how many yet unfinished jobs are submitted ahead of the one that is given.
            priority: as for `submit_job`.
            unique: gives the unique id for an item.
            timeout: for each job, as for `submit_job`.
            retry: as for `submit_job`; needs ``unique``.
            background: background jobs, which are done when they are acknowledged.
            payload: "bytes", "text" or "json"; the client's if not given.
            on_done: called by the event loop with each job when it is done.

        What cannot be sent, because no server can be reached, is given all the same: awaiting it says so.

        Raises:
            InvalidArgument: an item cannot be sent, or ``items`` is no collection; ``error.index`` is the item. It is raised
                after the jobs of all before it, as is an error of ``items``.
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
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        payload: None = None,
        return_exceptions: Literal[False] = False,
    ) -> Iteration[R]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Items[R | Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        payload: None = None,
        return_exceptions: Literal[True],
    ) -> Iteration[R | GearpoolError]: ...

    @overload
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
        payload: PayloadKind,
        return_exceptions: bool = False,
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
        """One job an item, many at once; gives the results in the order of the items, in constant memory.

        Nothing is submitted before the iteration begins; one that never begins is a RuntimeWarning. What is under way when
        it is given up runs on.

        Args:
            function: its name.
            items: payloads, of an iterable or an async iterable; may be endless, they are taken as the window moves on.
            window: how many jobs are under way at most.
            priority: as for `submit_job`.
            unique: gives the unique id for an item.
            timeout: for each job, as for `submit_job`.
            retry: as for `submit_job`; needs ``unique``.
            payload: "bytes", "text" or "json"; the client's if not given.
            return_exceptions: give errors instead of raising the first one, that of an item that cannot be sent, too.

        Raises:
            As `submit_job`, when the turn of the job concerned has come; ``error.index`` is its item. An error of ``items``
            is raised after the results of all before it.
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
        priority: Priority | None,
        unique: UniqueOf | None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        background: bool = False,
        payload: PayloadKind | None = None,
        on_done: Callable[[AsyncJob[Any]], object] | None = None,
        keep_places: bool = False,
    ) -> AsyncGenerator[AsyncJob[Any], None]:
        dispatch = self._dispatch
        maker, refused = job_makers(
            dispatch,
            AsyncJob,
            function,
            codec_of(payload, self._codec),
            dispatch.enter,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            background=background,
            on_done=on_done,
        )
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
