"""Many submissions, a window of them under way at a time. Floor 3.

Jobs that were submitted are yielded before an error of the source or of an item is raised, so that none is lost sight
of. An iterable is read in batches between two results (`gearpool.client.batches`); an async iterable by a task of its
own, which ends with the iteration, because it may be slower than the jobs.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Self, TypeVar

from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.batches import Batches, at_item, check_window
from gearpool.errors import GearpoolError, InvalidArgument

_T = TypeVar("_T")

Send = Callable[[list[AsyncJob[Any]]], Awaitable[None]]
Make = Callable[[], Callable[[_T], AsyncJob[Any]]]
"""Called for each batch; what it returns makes a job of an item. So the jobs of a batch share a deadline."""
Refused = Callable[[GearpoolError], AsyncJob[Any]]


class Iteration(AsyncIterator[_T]):
    """Jobs, handles or results, to be read with ``async for``; nothing is submitted before.

    One that is never iterated over warns when it is discarded, as a coroutine that is never awaited. `aclose` ends it
    early, as does leaving an ``async for`` in time; what is under way then runs on.

    Args:
        jobs: an async generator.
        give: makes of a job what is read.
        what: the method that was called, for the warning.
        ends: the first error ends it; otherwise one may read on after it.
    """

    def __init__(
        self,
        jobs: AsyncGenerator[AsyncJob[Any], None],
        give: Callable[[AsyncJob[Any]], Awaitable[_T]],
        what: str,
        *,
        ends: bool = True,
    ) -> None:
        self._jobs = jobs
        self._give = give
        self._what = what
        self._ends = ends
        self._index = 0
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        self._begun = True
        job = await anext(self._jobs)
        index, self._index = self._index, self._index + 1
        try:
            return await self._give(job)
        except GearpoolError as error:
            error.index = index
            if self._ends:
                await self._jobs.aclose()
            raise

    async def aclose(self) -> None:
        """Submit no more."""
        self._begun = True
        await self._jobs.aclose()

    def __del__(self) -> None:
        if not self._begun:
            message = f"{self._what}() was never iterated over: nothing was submitted"
            warnings.warn(message, RuntimeWarning, stacklevel=2, source=self)


def windowed(
    items: Iterable[_T] | AsyncIterable[_T],
    make: Make[_T],
    send: Send,
    window: int,
    refused: Refused | None = None,
) -> AsyncGenerator[AsyncJob[Any], None]:
    """Submissions made of ``items``, in their order, at most ``window`` unfinished ones ahead of the one yielded.

    Args:
        items: where they come from.
        make: begins a batch.
        send: gives some to the servers; what cannot be sent ends with the error.
        window: how many are under way at most.
        refused: makes a job that has ended with an error, in the place of an item that cannot be submitted; None: such an
            item ends the submissions, as an error of ``items`` always does.

    Raises:
        InvalidArgument: the window is less than 1, or ``items`` is a single payload; when called.
    """
    check_window(window)
    if isinstance(items, AsyncIterable):
        return _of_async_items(items, make, send, window, refused)
    return _of_items(Batches(items, make, refused), send, window)


async def _of_items(
    batches: Batches[_T, AsyncJob[Any]], send: Send, window: int
) -> AsyncGenerator[AsyncJob[Any], None]:
    under_way: deque[AsyncJob[Any]] = deque()
    low = window * 3 // 4
    try:
        while True:
            if len(under_way) <= low or not under_way[0].done():
                while not batches.exhausted and len(under_way) < window:
                    batch = batches.next(window - len(under_way))
                    if batch:
                        await send(batch)
                        under_way.extend(batch)
            if not under_way:
                if batches.failure is not None:
                    raise batches.failure
                return
            yield under_way.popleft()
    finally:
        _leave(under_way)


async def _of_async_items(
    items: AsyncIterable[_T], make: Make[_T], send: Send, window: int, refused: Refused | None
) -> AsyncGenerator[AsyncJob[Any], None]:
    under_way: deque[AsyncJob[Any]] = deque()
    arrived, room = asyncio.Event(), asyncio.Event()
    taken = 0

    async def feed() -> None:
        nonlocal taken
        try:
            async for item in items:
                while len(under_way) >= window:
                    room.clear()
                    await room.wait()
                try:
                    job = make()(item)
                except InvalidArgument as error:
                    told = at_item(taken, error)
                    if refused is None or not isinstance(told, GearpoolError):
                        raise
                    job = refused(told)
                else:
                    await send([job])
                under_way.append(job)
                taken += 1
                arrived.set()
        except Exception as error:  # noqa: BLE001 - it is reported with its item
            raise at_item(taken, error)  # noqa: B904 - the same error, or one that it caused
        finally:
            arrived.set()

    feeder = asyncio.ensure_future(feed())
    try:
        while True:
            while under_way:
                job = under_way.popleft()
                room.set()
                yield job
            if feeder.done():
                break
            arrived.clear()
            await arrived.wait()
        await feeder
    finally:
        feeder.cancel()
        await asyncio.wait({feeder})
        if not feeder.cancelled():
            feeder.exception()  # raised above, or irrelevant because the iteration has stopped
        _leave(under_way)


def _leave(jobs: Iterable[AsyncJob[Any]]) -> None:
    """These are no longer needed: asyncio must not warn when they fail."""
    for job in jobs:
        job.add_done_callback(_seen)


def _seen(job: asyncio.Future[Any]) -> None:
    if not job.cancelled():
        job.exception()
