"""The client in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gearpool import AsyncClient, JobFailed, JobTimedOut, NoServersAvailable
from gearpool.client import Data, Progress, Warned
from gearpool.errors import ConnectionLost
from tests.client.conftest import Server, Workers
from tests.client.test_client import Gate, echo, fail
from tests.client.workers import Assigned
from tests.processes import Gearmand, free_port


def run(server: Server, use: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with AsyncClient(server.address) as client:
            await use(client)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_jobs_are_awaited_one_by_one_and_together(server: Server, work: Workers) -> None:
    work(echo=echo)

    async def use(client: AsyncClient) -> None:
        assert await client.submit_job("echo", "one") == b"one"
        jobs = [await client.submit("echo", str(number)) for number in range(50)]
        assert await asyncio.gather(*jobs) == [str(number).encode() for number in range(50)]
        job = await client.submit("echo", "again")
        assert await job == b"again"
        assert await client.echo(b"x") == b"x"

    run(server, use)


def test_events_are_an_async_iteration(server: Server, work: Workers) -> None:
    def stream(job: Assigned) -> bytes:
        job.part(b"a")
        job.status(1, 2)
        job.warn(b"w")
        return b"end"

    work(stream=stream)

    async def use(client: AsyncClient) -> None:
        job = await client.submit("stream", "x")
        assert [event async for event in job.events()] == [Data(b"a"), Progress(1, 2), Warned(b"w")]
        assert await job == b"end"

    run(server, use)


def test_the_loop_goes_on_while_a_job_runs(server: Server, work: Workers) -> None:
    gate = Gate()
    work(slow=gate)

    async def use(client: AsyncClient) -> None:
        job = await client.submit("slow", "x")
        waiting = asyncio.ensure_future(job)
        status = await client.get_job_status(await job.job())
        assert status.is_known
        assert (await client.get_job_status(job)).is_known
        assert not waiting.done()
        gate.go.set()
        assert await waiting == b"x"

    run(server, use)


def test_map_yields_in_order(server: Server, work: Workers) -> None:
    work(echo=echo)

    async def use(client: AsyncClient) -> None:
        items = [str(number) for number in range(2000)]
        results = [result async for result in client.map("echo", items, window=100)]
        assert results == [item.encode() for item in items]

    run(server, use)


def test_failures_and_time_outs_are_raised(server: Server, work: Workers) -> None:
    work(fail=fail)

    async def use(client: AsyncClient) -> None:
        with pytest.raises(JobFailed):
            await client.submit_job("fail", "x")
        with pytest.raises(JobTimedOut):
            await client.submit_job("nobody", "x", timeout=0.05)
        job = await client.submit("nobody", "x", timeout=0.05)
        with pytest.raises(JobTimedOut):
            [event async for event in job.events()]
        errors = [each async for each in client.map("fail", ["x"], return_exceptions=True)]
        assert isinstance(errors[0], JobFailed)
        with pytest.raises(JobFailed):
            [each async for each in client.map("fail", ["x"])]

    run(server, use)


def test_background_jobs_are_handed_over(server: Server) -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit_background_job("later", "x", priority="high", unique="mine")
        assert (await client.get_job_status(str(job))).is_known
        assert (await client.get_job_status(unique="mine")).is_known

    run(server, use)


def test_a_lost_connection_wakes_those_who_await(gearmand: Gearmand) -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit("nobody", "x")
        await job.job()
        waiting = asyncio.ensure_future(job)
        await asyncio.to_thread(gearmand.kill)
        with pytest.raises(ConnectionLost):
            await waiting

    run(gearmand, use)


def test_no_server_is_an_error() -> None:
    async def main() -> None:
        async with AsyncClient(f"127.0.0.1:{free_port()}") as client:
            with pytest.raises(NoServersAvailable):
                await client.submit_job("f", "x")

    asyncio.run(main())
