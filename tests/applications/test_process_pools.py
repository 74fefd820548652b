"""Process pools: a client used in the parent and in its children, forked and spawned, from threads and from asyncio."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

import gearpool
from gearpool import AsyncClient, Client, JobException, JobFailed, JobTimedOut
from gearpool.testing import ThreadedJobServer, job_server, working

_client: Client | None = None


def use_client_of(server: str) -> None:
    """In a spawned child: create a client."""
    global _client
    _client = Client(server, job_timeout=20)


def inherit(server: str) -> None:
    """In a forked child: use the parent's client."""
    assert _client is not None


def reverse(text: str) -> str:
    """In a child: run a job and wait for its result."""
    assert _client is not None
    return _client.submit_job("reverse", text).decode()


def fails(function: str) -> None:
    """In a child: run a job that fails."""
    assert _client is not None
    _client.submit_job(function, "x", timeout=5.0 if function != "nobody" else 1.0)


def reverse_async(server: str, texts: list[str]) -> list[str]:
    """In a child: await jobs on a new event loop."""

    async def use() -> list[str]:
        async with AsyncClient(server, job_timeout=20) as client:
            return [result.decode() async for result in client.map("reverse", texts)]

    return asyncio.run(use())


def refuse(arg: bytes) -> bytes:
    raise gearpool.Abort("on purpose")


@pytest.fixture
def server() -> Iterator[ThreadedJobServer]:
    """A job server and its worker, in this process."""
    with job_server() as made, working(made) as worker:
        worker.add("reverse", lambda arg: arg[::-1])
        worker.add("refuse", refuse)
        worker.add("explode", refuse, report="exception")
        yield made


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_a_process_pool_submit_jobs_and_get_results(server: ThreadedJobServer, method: str) -> None:
    use_client_of(server.address)
    assert reverse("parent") == "tnerap"
    with ProcessPoolExecutor(
        2,
        mp_context=multiprocessing.get_context(method),
        initializer=inherit if method == "fork" else use_client_of,
        initargs=(server.address,),
    ) as pool:
        texts = [f"text {number}" for number in range(40)]
        assert list(pool.map(reverse, texts)) == [text[::-1] for text in texts]
        assert pool.submit(reverse_async, server.address, texts).result(60) == [text[::-1] for text in texts]
        for function, error in (("refuse", JobFailed), ("explode", JobException), ("nobody", JobTimedOut)):
            with pytest.raises(error) as raised:
                pool.submit(fails, function).result(60)
            assert (raised.value.function, raised.value.server) == (function, server.address)  # type: ignore[attr-defined]  # all three have them
        assert list(pool.map(reverse, texts)) == [text[::-1] for text in texts]
    assert reverse("parent") == "tnerap"
    assert _client is not None
    _client.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_an_asyncio_application_with_a_process_pool_keeps_its_client(server: ThreadedJobServer) -> None:
    async def use() -> None:
        async with AsyncClient(server.address, job_timeout=20) as client:
            assert await client.submit_job("reverse", "ab") == b"ba"
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
                loop = asyncio.get_running_loop()
                in_child = loop.run_in_executor(pool, reverse_async, server.address, ["cd", "ef"])
                jobs = [await client.submit("reverse", str(number)) for number in range(100, 200)]
                assert await asyncio.gather(*jobs) == [str(number)[::-1].encode() for number in range(100, 200)]
                assert await in_child == ["dc", "fe"]
            assert await client.submit_job("reverse", "gh") == b"hg"

    asyncio.run(asyncio.wait_for(use(), 60))
