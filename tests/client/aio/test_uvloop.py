"""The client on uvloop, which uvicorn prefers: another implementation of loops, transports and timers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop

from gearpool import AsyncClient, JobTimedOut, SubmitUnknown
from gearpool.testing import ThreadedJobServer, job_server, working


async def use(server: ThreadedJobServer) -> None:
    async def items() -> AsyncIterator[str]:
        for number in range(500):
            yield str(number)

    async with asyncio.timeout(60), AsyncClient(server.address, request_timeout=2.0) as client:
        assert await client.echo(b"x") == b"x"
        assert [result async for result in client.map("echo", items())] == [b"%d" % number for number in range(500)]
        large = bytes(range(256)) * 60_000
        assert await client.submit_job("echo", large) == large
        assert await client.admin.version()
        with pytest.raises(JobTimedOut):
            await client.submit_job("nobody", "x", timeout=1.0)
        job = await client.submit("echo", "x", unique="mine", retry=3)
        server.faults.drop()
        assert await job == b"x"
        server.faults.silence()
        with pytest.raises(SubmitUnknown):
            await client.submit_job("nobody", "x", timeout=0.3)
        left = await client.submit("nobody", "x")
    assert left.done()


def test_everything_works_on_uvloop() -> None:
    with job_server() as server, working(server, echo=lambda arg: arg):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(use(server))
