"""Many submissions, a window of them under way at a time. Floor 3.

Law: what was submitted is yielded before an error of the source or of an item is raised, so that no job is lost sight
of. An iterable is read in batches between two results; an async iterable by a task of its own, since it may be slower
than the jobs, and ends with the iteration.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from gearpool.client.aio.jobs import AsyncJob
from gearpool.errors import InvalidArgument

_T = TypeVar("_T")

Send = Callable[[list[AsyncJob]], Awaitable[None]]
Make = Callable[[], Callable[[_T], AsyncJob]]
"""Called for each batch; what it returns makes a job of an item. So the jobs of a batch share a deadline."""

CHUNK = 250
"""Submissions that are made and written at once."""


def windowed(
    items: Iterable[_T] | AsyncIterable[_T], make: Make[_T], send: Send, window: int
) -> AsyncIterator[AsyncJob]:
    """Submissions made of ``items``, in their order, at most ``window`` unfinished ones ahead of the one yielded.

    Raises:
        InvalidArgument: the window is less than 1; when called.
    """
    if window < 1:
        raise InvalidArgument(f"the window must be at least 1, got {window}")
    if isinstance(items, AsyncIterable):
        return _of_async_items(items, make, send, window)
    return _of_items(iter(items), make, send, window)


async def _of_items(source: Iterator[_T], make: Make[_T], send: Send, window: int) -> AsyncIterator[AsyncJob]:
    under_way: deque[AsyncJob] = deque()
    low = window * 3 // 4
    more = True
    failure: Exception | None = None
    while True:
        if more and (len(under_way) <= low or not under_way[0].done()):
            while more and len(under_way) < window:
                batch: list[AsyncJob] = []
                job_of = make()
                try:
                    for item in itertools.islice(source, min(window - len(under_way), CHUNK)):
                        batch.append(job_of(item))  # noqa: PERF401 - what was made before an error is kept
                except Exception as error:  # noqa: BLE001 - raised below, after what was submitted
                    failure, more = error, False
                if not batch:
                    more = False
                    break
                await send(batch)
                under_way.extend(batch)
        if not under_way:
            if failure is not None:
                raise failure
            return
        yield under_way.popleft()


async def _of_async_items(items: AsyncIterable[_T], make: Make[_T], send: Send, window: int) -> AsyncIterator[AsyncJob]:
    under_way: deque[AsyncJob] = deque()
    arrived, room = asyncio.Event(), asyncio.Event()

    async def feed() -> None:
        try:
            async for item in items:
                while len(under_way) >= window:
                    room.clear()
                    await room.wait()
                job = make()(item)
                await send([job])
                under_way.append(job)
                arrived.set()
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
            feeder.exception()  # raised above, or of no interest to one who has stopped to iterate
