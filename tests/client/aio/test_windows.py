"""Many submissions, a window of them under way. No server: what is sent is ended by hand."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.windows import Iteration, windowed
from gearpool.client.orders import make_order
from gearpool.client.payloads import BYTES
from gearpool.errors import GearpoolError, InvalidArgument, JobFailed
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline


class Sending:
    """Takes what is sent; ends it at once if asked to."""

    request_timeout = 10.0

    def __init__(self, *, ends: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.sent: list[AsyncJob[Any]] = []
        self.batches: list[int] = []
        self._ends = ends

    def ended(self, job: AsyncJob[Any]) -> None: ...

    def distrust(self, job: AsyncJob[Any]) -> None: ...

    def forget(self, job: AsyncJob[Any]) -> None: ...

    def withdraw(self, job: AsyncJob[Any]) -> None: ...

    def make(self) -> Callable[[object], AsyncJob[Any]]:
        order = make_order("f")
        return lambda item: AsyncJob(self, order, b"", BYTES.encode(item), Deadline.never(), BYTES)

    async def send(self, jobs: list[AsyncJob[Any]]) -> None:
        self.batches.append(len(jobs))
        for job in jobs:
            self.sent.append(job)
            if self._ends:
                self.loop.call_soon(self.end, job)

    async def send_open(self, jobs: list[AsyncJob[Any]]) -> None:
        await self.send([job for job in jobs if not job.done()])

    @staticmethod
    def end(job: AsyncJob[Any]) -> None:
        job._ended(PacketType.WORK_COMPLETE, job._data)


def run(use: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await use()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def slowly(items: Iterator[object] | list[object]) -> AsyncIterator[object]:
    for number, item in enumerate(items):
        if number % 3 == 0:
            await asyncio.sleep(0)
        yield item


@pytest.fixture(params=["iterable", "async iterable"])
def source(request: pytest.FixtureRequest) -> Callable[[list[object]], object]:
    """The items, one way or the other."""
    return list if request.param == "iterable" else slowly


def test_jobs_come_in_the_order_of_the_items(source: Callable[[list[object]], object]) -> None:
    async def use() -> None:
        sending = Sending()
        items = [b"%d" % number for number in range(700)]
        jobs = windowed(source([*items]), sending.make, sending.send, 50)  # type: ignore[arg-type]  # either
        assert [await job async for job in jobs] == items

    run(use)


def test_items_are_taken_only_as_far_as_the_window_reaches() -> None:
    async def use() -> None:
        sending = Sending(ends=False)
        counter = itertools.count()
        jobs = windowed((b"%d" % number for number in counter), sending.make, sending.send, 8)
        first = await anext(jobs)
        assert len(sending.sent) == 8
        assert next(counter) == 8
        sending.end(first)
        await anext(jobs)
        assert len(sending.sent) <= 9
        await jobs.aclose()

    run(use)


def test_an_endless_async_source_is_not_read_past_the_window() -> None:
    async def use() -> None:
        sending = Sending(ends=False)
        taken: list[bytes] = []

        async def endless() -> AsyncIterator[bytes]:
            for number in itertools.count():
                taken.append(b"%d" % number)
                yield taken[-1]

        jobs = windowed(endless(), sending.make, sending.send, 8)
        await anext(jobs)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(sending.sent) == 9  # the one that was yielded is no longer of the window
        assert len(taken) == 10
        await jobs.aclose()

    run(use)


def test_a_slow_async_source_holds_up_no_job() -> None:
    async def use() -> None:
        sending, go = Sending(), asyncio.Event()

        async def hesitant() -> AsyncIterator[bytes]:
            yield b"first"
            await go.wait()
            yield b"second"

        jobs = windowed(hesitant(), sending.make, sending.send, 100)
        assert await (await anext(jobs)) == b"first"
        go.set()
        assert await (await anext(jobs)) == b"second"
        assert [job async for job in jobs] == []

    run(use)


def test_an_item_that_cannot_be_sent_is_raised_after_what_was(source: Callable[[list[object]], object]) -> None:
    async def use() -> None:
        sending = Sending()
        items: list[object] = [b"x"] * 300
        items[260] = object()
        jobs = windowed(source(items), sending.make, sending.send, 1000)  # type: ignore[arg-type]  # either
        results = []

        async def collect() -> None:
            async for job in jobs:
                results.append(await job)  # noqa: PERF401 - those before the error count

        with pytest.raises(InvalidArgument, match="item 260: the payload") as raised:
            await collect()
        assert raised.value.index == 260
        assert len(results) == len(sending.sent) == 260

    run(use)


def test_an_error_of_the_source_is_raised_after_what_was_submitted(source: Callable[[list[object]], object]) -> None:
    async def use() -> None:
        sending = Sending()

        def broken() -> Iterator[bytes]:
            yield from [b"x"] * 10
            raise LookupError("mine")

        items = broken() if source is list else slowly(broken())
        jobs = windowed(items, sending.make, sending.send, 1000)
        results = []

        async def collect() -> None:
            async for job in jobs:
                results.append(await job)  # noqa: PERF401 - those before the error count

        with pytest.raises(LookupError, match="mine") as raised:
            await collect()
        assert "item 10" in "".join(raised.value.__notes__)
        assert len(results) == 10

    run(use)


def test_who_stops_to_iterate_or_is_cancelled_leaves_no_task(source: Callable[[list[object]], object]) -> None:
    async def use() -> None:
        sending = Sending(ends=False)

        async def read() -> None:
            async for job in windowed(source([b"x"] * 50), sending.make, sending.send, 10):  # type: ignore[arg-type]  # either
                await job

        reader = asyncio.ensure_future(read())
        for _ in range(10):
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait({reader})
        del reader
        await asyncio.get_running_loop().shutdown_asyncgens()

    run(use)


def test_a_window_of_none_and_a_single_payload_are_refused_when_they_are_given() -> None:
    async def use() -> None:
        sending = Sending()
        with pytest.raises(InvalidArgument, match="several payloads"):
            windowed("abc", sending.make, sending.send, 10)
        with pytest.raises(InvalidArgument, match="window"):
            windowed([b"x"], sending.make, sending.send, 0)

    run(use)


def test_an_iteration_that_is_never_started_warns_and_one_that_was_started_does_not() -> None:
    async def use() -> None:
        sending = Sending()

        def iteration(count: int) -> Iteration[bytes]:
            return Iteration(windowed([b"x"] * count, sending.make, sending.send, 10), result, "submit_many")

        with pytest.warns(RuntimeWarning, match=r"submit_many\(\) was never iterated over: nothing was submitted"):
            iteration(1)
        begun = iteration(3)
        assert await anext(begun) == b"x"
        await begun.aclose()
        await iteration(1).aclose()
        assert len(sending.sent) == 3

    run(use)


def test_jobs_that_are_left_behind_make_no_noise_when_they_fail(source: Callable[[list[object]], object]) -> None:
    noise: list[object] = []

    async def use() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        sending = Sending(ends=False)
        jobs = windowed(source([b"x"] * 20), sending.make, sending.send, 10)  # type: ignore[arg-type]  # either
        await anext(jobs)
        while len(sending.sent) < 10:
            await asyncio.sleep(0)
        await jobs.aclose()
        first = sending.sent.pop(0)
        for job in sending.sent:
            job._ended(PacketType.WORK_FAIL, b"")
        sending.end(first)
        await asyncio.sleep(0)
        sending.sent.clear()
        await asyncio.get_running_loop().shutdown_asyncgens()

    run(use)
    gc.collect()
    assert not noise


async def result(job: AsyncJob[Any]) -> bytes:
    value: bytes = await job
    return value


@pytest.mark.parametrize(("ends", "read"), [(True, []), (False, [b"2", b"3"])])
def test_an_error_says_at_which_item_and_ends_the_iteration_or_not(ends: bool, read: list[bytes]) -> None:
    async def use() -> None:
        sending = Sending(ends=False)
        jobs = Iteration(windowed([b"0", b"1", b"2", b"3"], sending.make, sending.send, 10), result, "map", ends=ends)
        first = asyncio.ensure_future(anext(jobs))
        while len(sending.sent) < 4:
            await asyncio.sleep(0)
        for number, job in enumerate(sending.sent):
            job._ended(PacketType.WORK_FAIL if number == 1 else PacketType.WORK_COMPLETE, job._data)
        assert await first == b"0"
        with pytest.raises(JobFailed) as raised:
            await anext(jobs)
        assert raised.value.index == 1
        assert [each async for each in jobs] == read
        await jobs.aclose()

    run(use)


def test_what_cannot_be_sent_may_keep_its_place(source: Callable[[list[object]], object]) -> None:
    async def use() -> None:
        sending = Sending()

        def refused(error: GearpoolError) -> AsyncJob[Any]:
            job: AsyncJob[Any] = AsyncJob(sending, make_order("f"), b"", b"", Deadline.never(), BYTES)
            job._settle(error)
            return job

        items: list[object] = [b"a", object(), b"c"]
        ends = []
        async for job in windowed(source(items), sending.make, sending.send_open, 10, refused):  # type: ignore[arg-type]  # either
            try:
                ends.append(await job)
            except InvalidArgument as error:
                ends.append(error.index)
        assert ends == [b"a", 1, b"c"]
        assert len(sending.sent) == 2

    run(use)
