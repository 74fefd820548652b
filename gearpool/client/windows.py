"""Many submissions, a window of them under way at a time, for threads. Floor 3.

The first window is submitted when the call is made, the rest during the iteration. An iteration that is never started
although there is more than one window is warned of, like a coroutine that is never awaited.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic

from gearpool.client.batches import Batches, check_window
from gearpool.client.futures import JobFuture
from gearpool.client.payloads import R
from gearpool.client.results import JobHandle
from gearpool.errors import GearpoolError


class Window(Iterator[JobFuture[R]], Generic[R]):
    """Yields the submissions of ``batches`` in their order, at most ``size`` unfinished ones ahead of the one yielded.

    Args:
        batches: where they come from.
        send: gives some to the servers; what cannot be sent ends with the error.
        size: how many are under way at most.
        what: the user's call, for the warning.

    Raises:
        InvalidArgument: the size is no number of at least 1.
    """

    def __init__(
        self, batches: Batches[Any, JobFuture[R]], send: Callable[[list[JobFuture[R]]], None], size: int, what: str
    ) -> None:
        self._iterated = True  # until all of it is made
        check_window(size)
        self._batches = batches
        self._send = send
        self._size = size
        self._what = what
        self._under_way: deque[JobFuture[R]] = deque()
        self._fill()
        self._futures = self._run()
        self._iterated = False

    def __iter__(self) -> Iterator[JobFuture[R]]:  # noqa: PYI034
        return self._futures  # a generator, which is quicker than a call of ours for each

    def __next__(self) -> JobFuture[R]:
        return next(self._futures)

    def __del__(self) -> None:
        if not self._iterated and not (self._batches.exhausted and self._batches.failure is None):
            warnings.warn(
                f"{self._what}() was never iterated over: of its items only the first {self._batches.taken} were submitted",
                RuntimeWarning,
                stacklevel=1,
                source=self,
            )

    def _run(self) -> Iterator[JobFuture[R]]:
        self._iterated = True
        batches, under_way, low = self._batches, self._under_way, self._size * 3 // 4
        while True:
            if not batches.exhausted and (len(under_way) <= low or not under_way[0].done()):
                self._fill()
            if not under_way:
                break
            yield under_way.popleft()
        if batches.failure is not None:
            raise batches.failure

    def _fill(self) -> None:
        batches, under_way = self._batches, self._under_way
        # Once more than is needed: whether there are items left is known only by asking for one.
        while len(under_way) < self._size:
            batch = batches.next(self._size - len(under_way))
            if not batch:
                return
            self._send(batch)
            under_way.extend(batch)


class Handles(Iterator[JobHandle]):
    """The handles of background jobs, in the order of their items.

    An error belongs to one item, ``error.index``; the iteration may continue after it, for the handles of later items.
    """

    def __init__(self, futures: Iterator[JobFuture[Any]]) -> None:
        self._futures = futures
        self._index = 0

    def __next__(self) -> JobHandle:
        future = next(self._futures)
        index, self._index = self._index, self._index + 1
        try:
            return future.job()
        except GearpoolError as error:
            error.index = index
            raise


def results(futures: Iterator[JobFuture[R]], *, return_exceptions: bool) -> Iterator[R | GearpoolError]:
    """The results of these, in their order; errors are raised, with ``error.index``, or given instead of a result."""
    for index, future in enumerate(futures):
        try:
            result: R | GearpoolError = future.result()
        except GearpoolError as error:
            error.index = index
            if not return_exceptions:
                raise
            result = error
        yield result
