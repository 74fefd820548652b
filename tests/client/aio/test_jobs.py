"""A job as an asyncio future: its events, its acknowledgement, its cancellation. No server: the session is fed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gearpool.client import Data, Progress, Warned
from gearpool.client.aio.jobs import AsyncJob, AsyncRequest
from gearpool.client.orders import make_order
from gearpool.client.payloads import BYTES, Codec
from gearpool.errors import (
    ConnectionLost,
    GearpoolError,
    JobCancelled,
    JobException,
    JobFailed,
    JobTimedOut,
    ServerError,
    SubmitUnknown,
    UndecodableResult,
)
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline

T = PacketType


class Owner:
    """Counts what a job tells its owner."""

    request_timeout = 0.01

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.over: list[AsyncJob[Any]] = []
        self.distrusted: list[str] = []
        self.forgotten: list[AsyncJob[Any]] = []
        self.withdrawn: list[AsyncJob[Any]] = []

    def ended(self, job: AsyncJob[Any]) -> None:
        self.over.append(job)

    def distrust(self, job: AsyncJob[Any]) -> None:
        self.distrusted.append(job.server)

    def forget(self, job: AsyncJob[Any]) -> None:
        self.forgotten.append(job)

    def withdraw(self, job: AsyncJob[Any]) -> None:
        self.withdrawn.append(job)

    def job(
        self, *, acknowledged: bool = True, background: bool = False, data: bytes = b"data", codec: Codec = BYTES
    ) -> AsyncJob[Any]:
        job = AsyncJob(self, make_order("f", background=background), b"", data, Deadline.never(), codec)
        job._departs("server:1", 0.0)
        if acknowledged:
            job._answered(T.JOB_CREATED, [b"H:1"])
        return job


def run(use: Callable[[Owner], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await use(Owner())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_result_ends_the_future() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job()
        assert not job.done()
        assert repr(job) == "<AsyncJob f server:1/H:1 accepted>"
        job._ended(T.WORK_COMPLETE, b"result")
        assert job.result() == await job == b"result"
        assert owner.over == [job]
        assert repr(job) == "<AsyncJob f server:1/H:1 done>"

    run(use)


def test_each_bad_end_is_raised() -> None:
    async def use(owner: Owner) -> None:
        jobs = [owner.job() for _ in range(5)]
        jobs[0]._ended(T.WORK_FAIL, b"")
        jobs[1]._ended(T.WORK_EXCEPTION, b"why")
        jobs[2]._lost("server:1", "broken")
        jobs[3]._answered(T.ERROR, [b"QUEUE_ERROR", b"full"])
        jobs[4]._settle(jobs[4]._failure())
        errors = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(error) for error in errors] == [
            JobFailed,
            JobException,
            ConnectionLost,
            ServerError,
            JobTimedOut,
        ]
        with pytest.raises(GearpoolError, match="submit_job"):
            errors[0].retry()  # type: ignore[union-attr]  # a JobFailed

    run(use)


def test_asyncios_own_functions_take_jobs() -> None:
    async def use(owner: Owner) -> None:
        one, two, three = (owner.job() for _ in range(3))
        owner.loop.call_soon(one._ended, T.WORK_COMPLETE, b"1")
        done, pending = await asyncio.wait([one, two, three], return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({one}, {two, three})
        owner.loop.call_soon(two._ended, T.WORK_COMPLETE, b"2")
        owner.loop.call_soon(three._ended, T.WORK_COMPLETE, b"3")
        assert [await each for each in asyncio.as_completed([two, three])] == [b"2", b"3"]
        assert list(await asyncio.gather(one, two, three)) == [b"1", b"2", b"3"]
        assert await asyncio.wait_for(one, 1) == b"1"

        async def awaited(job: AsyncJob[Any]) -> object:
            return await job

        async with asyncio.TaskGroup() as group:
            task = group.create_task(awaited(three))
        assert task.result() == b"3"

    run(use)


def test_a_background_job_is_done_when_it_is_accepted() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job(acknowledged=False, background=True)
        waiting = asyncio.ensure_future(job.job())
        await asyncio.sleep(0)
        job._answered(T.JOB_CREATED, [b"H:1"])
        assert (await waiting).handle == "H:1"
        assert await job == b""

    run(use)


def test_events_are_kept_until_they_are_read_and_come_once() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job()
        job._told(T.WORK_DATA, [b"H:1", b"a"])
        job._told(T.WORK_STATUS, [b"H:1", b"1", b"4"])
        job._told(T.WORK_STATUS, [b"H:1", b"2", b"4"])
        job._told(T.WORK_WARNING, [b"H:1", b"w"])
        job._ended(T.WORK_COMPLETE, b"")
        assert [event async for event in job.events()] == [Data(b"a"), Progress(2, 4), Warned(b"w")]
        assert [event async for event in job.events()] == []

    run(use)


def test_a_cancelled_reader_of_events_loses_none_and_leaves_no_task() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job()
        seen: list[bytes] = []

        async def read() -> None:
            async for event in job.events():
                assert isinstance(event, Data)
                seen.append(event.data)

        for number in range(50):
            reader = asyncio.ensure_future(read())
            await asyncio.sleep(0)
            if number % 2:
                # An event and the cancellation at the same moment, in either order.
                job._told(T.WORK_DATA, [b"H:1", b"%d" % number])
                reader.cancel()
            else:
                reader.cancel()
                job._told(T.WORK_DATA, [b"H:1", b"%d" % number])
            await asyncio.wait({reader})
            assert asyncio.all_tasks() == {asyncio.current_task()}
        job._ended(T.WORK_COMPLETE, b"")
        await read()
        assert seen == [b"%d" % number for number in range(50)]
        assert not job._waiters

    run(use)


def test_a_timeout_round_a_reader_leaves_the_job_and_its_events() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job()
        job._told(T.WORK_DATA, [b"H:1", b"a"])
        seen = []

        async def read() -> None:
            async with asyncio.timeout(0.01):
                async for event in job.events():
                    seen.append(event)

        with pytest.raises(TimeoutError):
            await read()
        job._told(T.WORK_DATA, [b"H:1", b"b"])
        job._ended(T.WORK_COMPLETE, b"r")
        seen += [event async for event in job.events()]
        assert seen == [Data(b"a"), Data(b"b")]
        assert await job == b"r"

    run(use)


def test_a_reader_of_events_hears_that_the_job_timed_out() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job()
        owner.loop.call_soon(lambda: job._settle(job._failure()))
        with pytest.raises(JobTimedOut):
            [event async for event in job.events()]

    run(use)


def test_the_acknowledgement_has_a_limit_after_which_the_server_is_not_trusted() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job(acknowledged=False)
        with pytest.raises(SubmitUnknown):
            await job.job(timeout=0.001)
        assert owner.distrusted == []
        with pytest.raises(SubmitUnknown):
            await job.job()
        assert owner.distrusted == ["server:1"]
        assert not job.done()
        job._answered(T.JOB_CREATED, [b"H:1"])
        assert (await job.job()).handle == "H:1"

    run(use)


def test_cancelling_who_awaits_a_job_gives_the_job_up() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job, 0.001)
        assert job.cancelled()
        assert owner.over == [job]
        assert owner.forgotten == [job]
        job._ended(T.WORK_COMPLETE, b"too late")
        assert job.cancelled()
        assert [event async for event in job.events()] == []
        assert (await job.job()).handle == "H:1"  # what the server still runs is known
        assert not job.cancel()

    run(use)


def test_a_shielded_job_outlives_who_awaited_it() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(job), 0.001)
        job._ended(T.WORK_COMPLETE, b"r")
        assert await job == b"r"

    run(use)


def test_cancelling_who_awaits_the_acknowledgement_leaves_the_job() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job(acknowledged=False)
        waiting = asyncio.ensure_future(job.job(timeout=None))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert not job.done()
        assert not job._waiters

    run(use)


def test_a_job_that_is_over_keeps_no_payload() -> None:
    async def use(owner: Owner) -> None:
        done, given_up, late = (owner.job(data=bytes(1000)) for _ in range(3))
        done._ended(T.WORK_COMPLETE, b"r")
        given_up.cancel()
        late._settle(late._failure())
        assert isinstance(late.exception(), JobTimedOut)
        assert [job._data for job in (done, given_up, late)] == [b"", b"", b""]

    run(use)


@pytest.mark.parametrize("kind", [RuntimeError, asyncio.CancelledError, GeneratorExit])
def test_a_callback_for_events_that_raises_is_logged_and_nothing_more(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def use(owner: Owner) -> None:
        def broken(event: object) -> None:
            raise kind("mine")

        job = AsyncJob(owner, make_order("f"), b"", b"", Deadline.never(), BYTES, on_event=broken)
        job._answered(T.JOB_CREATED, [b"H:1"])
        job._told(T.WORK_DATA, [b"H:1", b"a"])
        job._ended(T.WORK_COMPLETE, b"r")
        assert await job == b"r"

    run(use)
    assert "on_event" in caplog.text
    assert "mine" in caplog.text


def test_a_request_is_answered_lost_or_late() -> None:
    async def use(owner: Owner) -> None:
        answered, refused, lost, late, cancelled = (AsyncRequest(T.ECHO_RES) for _ in range(5))
        owner.loop.call_soon(answered._answered, T.ECHO_RES, [b"x"])
        assert await answered.ask(Deadline.never()) == [b"x"]
        owner.loop.call_soon(refused._answered, T.ERROR, [b"CODE", b"text"])
        with pytest.raises(ServerError):
            await refused.ask(Deadline.never())
        lost._lost("server:1", "broken")
        with pytest.raises(ConnectionLost):
            await lost.ask(Deadline.never())
        assert await late.ask(Deadline.after(0.001)) is None
        waiting = asyncio.ensure_future(cancelled.ask(Deadline.never()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        cancelled._answered(T.ECHO_RES, [b"x"])

    run(use)


def test_results_are_read_as_the_payload_says() -> None:
    async def use(owner: Owner) -> None:
        text, data, empty, broken = (owner.job(codec=Codec(kind)) for kind in ("text", "json", "json", "json"))
        text._ended(T.WORK_COMPLETE, "ä".encode())
        data._ended(T.WORK_COMPLETE, b'{"a": [1, 2.5, null]}')
        empty._ended(T.WORK_COMPLETE, b"")
        broken._ended(T.WORK_COMPLETE, b"{")
        assert await text == "ä"
        assert await data == {"a": [1, 2.5, None]}
        assert await empty is None
        with pytest.raises(UndecodableResult):
            await broken

    run(use)


def test_a_cancelled_job_is_withdrawn_unless_others_may_wait_for_it() -> None:
    async def use(owner: Owner) -> None:
        mine, unsent, background = owner.job(), owner.job(), owner.job(acknowledged=False, background=True)
        mine.sent = background.sent = True
        shared = AsyncJob[Any](owner, make_order("f"), b"u", b"", Deadline.never(), BYTES, verify=True)
        shared._departs("server:1", 0.0)
        shared.sent = True
        for job in (mine, unsent, background, shared):
            assert job.cancel()
            assert isinstance(job._error, JobCancelled)
        assert owner.withdrawn == [mine]

    run(use)


def test_a_job_that_was_given_up_is_still_named_by_its_server() -> None:
    async def use(owner: Owner) -> None:
        job = owner.job(acknowledged=False)
        owner.request_timeout = 30.0
        job.cancel()
        waiting = asyncio.ensure_future(job._named())
        await asyncio.sleep(0)
        job._answered(T.JOB_CREATED, [b"H:1"])
        await waiting
        assert job.handle == "H:1"

    run(use)
