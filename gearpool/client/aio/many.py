"""The half of `AsyncClient` that submits many jobs. Floor 3.

Law: as `gearpool.client.many`, but that nothing is submitted before the iteration begins: it takes an event loop to wait.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Literal, overload

from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.submitting import AsyncSubmitting
from gearpool.client.aio.windows import Iteration, windowed
from gearpool.client.futures import R
from gearpool.client.orders import Priority, check_retry, checked_unique, make_order
from gearpool.client.payloads import codec_of
from gearpool.client.results import JobHandle
from gearpool.client.submission import UNSET
from gearpool.errors import GearpoolError
from gearpool.settings import PayloadKind
from gearpool.timing import Deadline, Duration

UniqueOf = Callable[[Any], str | bytes]
Items = Iterable[Any] | AsyncIterable[Any]


class AsyncSubmittingMany(AsyncSubmitting[R]):
    """Submits many jobs through a dispatch. Users make a `gearpool.AsyncClient`."""

    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        payload: PayloadKind | None = None,
    ) -> Iteration[JobHandle]:
        """Hand many jobs to the servers, pipelined; yields their handles in order, at most ``window`` unacknowledged.

        Nothing is submitted before the iteration begins, and no more after it has ended; one that never begins warns.

        Args:
            function: its name.
            items: payloads, of an iterable or an async iterable; may be endless.
            window: how many submissions are under way at most.
            priority: as for `submit_background_job`.
            unique: gives the unique id for a payload.
            payload: "bytes", "text" or "json"; the client's if not given.

        Raises:
            As `submit_background_job`, when the turn of the job concerned has come.
        """
        jobs = self._windowed(
            function, items, window=window, priority=priority, unique=unique, payload=payload, background=True
        )
        return Iteration(_handles(jobs), "submit_background_jobs()")

    def submit_many(
        self,
        function: str | bytes,
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        background: bool = False,
        payload: PayloadKind | None = None,
        on_done: Callable[[AsyncJob[Any]], object] | None = None,
    ) -> Iteration[AsyncJob[R]]:
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
            payload: "bytes", "text" or "json"; the client's if not given.
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
            payload=payload,
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
        timeout: Duration | None = UNSET,
        retry: int = 0,
        payload: None = None,
        return_exceptions: Literal[False] = False,
    ) -> Iteration[R]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Items,
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
        items: Items,
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
        items: Items,
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        payload: PayloadKind | None = None,
        return_exceptions: bool = False,
    ) -> Iteration[Any]:
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
            payload: "bytes", "text" or "json"; the client's if not given.
            return_exceptions: yield errors instead of raising the first one.

        Raises:
            As `submit_job`, when the turn of the job concerned has come.
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
        return Iteration(_results_or_errors(jobs) if return_exceptions else _results(jobs), "map()")

    def _windowed(
        self,
        function: str | bytes,
        items: Items,
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
    ) -> AsyncGenerator[AsyncJob[R], None]:
        order = make_order(function, background=background, priority=priority)
        check_retry(retry, has_unique=unique is not None)
        dispatch = self._dispatch
        dispatch.enter()
        limit = dispatch.request_timeout if background and timeout is UNSET else timeout
        verify = unique is not None and not background
        codec = codec_of(payload, self._codec)
        encode, raw = codec.encode, codec.raw
        dispatch.job_deadline(limit)  # a mistake is told by this call

        def make() -> Callable[[Any], AsyncJob[R]]:
            deadline = dispatch.job_deadline(limit)

            def job_of(item: Any) -> AsyncJob[R]:
                key = checked_unique(unique(item)) if unique is not None else b""
                if background and not key:
                    key = dispatch.fresh_unique()
                data = item if raw and type(item) is bytes else encode(item)
                job: AsyncJob[R] = AsyncJob(dispatch, order, key, data, deadline, codec, retries=retry, verify=verify)
                if on_done is not None:
                    job.add_done_callback(on_done)
                return job

            return job_of

        def refused(error: GearpoolError) -> AsyncJob[R]:
            job: AsyncJob[R] = AsyncJob(dispatch, order, b"", b"", Deadline.never(), codec)
            job.settle(error)
            return job

        return windowed(items, make, dispatch.send_or_settle, window, refused if keep_places else None)


async def _handles(jobs: AsyncGenerator[AsyncJob[Any], None]) -> AsyncGenerator[JobHandle, None]:
    async with aclosing(jobs):
        index = 0
        async for job in jobs:
            try:
                if not job.done():
                    await job
                handle = job.accepted()
            except GearpoolError as error:
                error.index = index
                raise
            yield handle
            index += 1


async def _results(jobs: AsyncGenerator[AsyncJob[R], None]) -> AsyncGenerator[R, None]:
    async with aclosing(jobs):
        index = 0
        async for job in jobs:
            try:
                result = await job
            except GearpoolError as error:
                error.index = index
                raise
            yield result
            index += 1


async def _results_or_errors(jobs: AsyncGenerator[AsyncJob[R], None]) -> AsyncGenerator[R | GearpoolError, None]:
    async with aclosing(jobs):
        index = 0
        async for job in jobs:
            try:
                result: R | GearpoolError = await job
            except GearpoolError as error:
                error.index = index
                result = error
            yield result
            index += 1
