"""The client in asyncio."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, assert_type

import pytest

from gearpool import AsyncClient, JobFailed, JobTimedOut, NoServersAvailable
from gearpool.client import Client, Data, Event, Progress, Warned
from gearpool.client.aio import AsyncAdmin, AsyncJob, Iteration
from gearpool.client.orders import Payload
from gearpool.errors import ConnectionLost, GearpoolError, InvalidArgument, JobException, UndecodableResult
from gearpool.testing import job_server
from tests.client.conftest import Server, Workers
from tests.client.test_client import Gate, echo, fail
from tests.client.workers import Assigned, ExplodeError
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
            await client.submit_job("nobody", "x", timeout=0.5)
        job = await client.submit("nobody", "x", timeout=0.5)
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


async def slowly(items: list[str]) -> AsyncIterator[str]:
    for item in items:
        await asyncio.sleep(0)
        yield item


def test_the_methods_and_their_parameters_are_those_of_the_threads_client() -> None:
    def parameters(method: object) -> list[tuple[str, object, object]]:
        return [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]  # type: ignore[arg-type]  # a method

    def public(kind: type) -> set[str]:
        return {name for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")}

    assert public(Client) - public(AsyncClient) <= {"gather"}  # asyncio has its own
    assert public(AsyncClient) <= public(Client)
    for name in public(AsyncClient) | {"__init__"}:
        assert parameters(getattr(AsyncClient, name)) == parameters(getattr(Client, name)), name
    admin = type(Client().admin)
    assert public(AsyncAdmin) == public(admin)
    for name in public(admin):
        assert parameters(getattr(AsyncAdmin, name)) == parameters(getattr(admin, name)), name


def test_everything_public_says_what_it_is() -> None:
    for kind in (AsyncClient, AsyncAdmin, AsyncJob):
        for name, value in inspect.getmembers(kind, callable):
            if not name.startswith("_") and (getattr(value, "__module__", None) or "").startswith("gearpool"):
                assert value.__doc__, name


def test_a_thousand_tasks_share_a_client(server: Server, work: Workers) -> None:
    work(echo=echo)

    async def use(client: AsyncClient) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.submit_job("echo", str(number))) for number in range(1000)]
        assert [task.result() for task in tasks] == [str(number).encode() for number in range(1000)]
        assert client._dispatch.pool.connections == 1

    run(server, use)


def test_large_payloads_pass_both_ways(server: Server, work: Workers) -> None:
    work(echo=echo)
    large = bytes(range(256)) * 60_000

    async def use(client: AsyncClient) -> None:
        jobs = [await client.submit("echo", large) for _ in range(3)]
        assert all(result == large for result in await asyncio.gather(*jobs))

    run(server, use)


def test_map_takes_async_iterables_and_knows_its_types(server: Server, work: Workers) -> None:
    work(echo=echo, fail=fail)

    async def use(client: AsyncClient) -> None:
        items = [str(number) for number in range(200)]
        results = client.map("echo", slowly(items), window=20)
        assert_type(results, Iteration[bytes])
        assert [result async for result in results] == [item.encode() for item in items]
        either = client.map("fail", slowly(["x"]), return_exceptions=True)
        assert_type(either, Iteration[bytes | GearpoolError])
        assert [type(result) async for result in either] == [JobFailed]

    run(server, use)


def unique_of(item: Payload) -> str:
    assert isinstance(item, str)
    return f"u{item}"


def test_many_background_jobs_are_handed_over_in_order(server: Server) -> None:
    async def use(client: AsyncClient) -> None:
        items = [str(number) for number in range(700)]
        jobs = [job async for job in client.submit_background_jobs("later", items, window=50)]
        assert len({job.handle for job in jobs}) == 700
        assert len({job.unique for job in jobs}) == 700
        others = [job async for job in client.submit_background_jobs("later", slowly(items), unique=unique_of)]
        assert [job.unique for job in others] == [f"u{item}" for item in items]
        assert (await client.admin.status())[server.address][0].total == 1400

    run(server, use)


def test_submit_many_yields_jobs_in_order_and_tells_when_each_is_done(server: Server, work: Workers) -> None:
    work(echo=echo)

    async def use(client: AsyncClient) -> None:
        done: list[AsyncJob[bytes]] = []
        jobs = [job async for job in client.submit_many("echo", ["a", "b", "c"], on_done=done.append)]
        assert await asyncio.gather(*jobs) == [b"a", b"b", b"c"]
        assert set(done) == set(jobs)
        background = [job async for job in client.submit_many("later", ["a", "b"], background=True)]
        assert [job.done() for job in background] or await asyncio.gather(*background)
        assert await asyncio.gather(*background) == [b"", b""]

    run(server, use)


def test_events_may_be_heard_by_a_callback(server: Server, work: Workers) -> None:
    def stream(job: Assigned) -> bytes:
        job.part(b"a")
        job.status(1, 2)
        return b"end"

    work(stream=stream)

    async def use(client: AsyncClient) -> None:
        heard: list[Event] = []
        assert await client.submit_job("stream", "x", on_event=heard.append) == b"end"
        assert heard == [Data(b"a"), Progress(1, 2)]

    run(server, use)


def test_priorities_times_and_reducers_are_sent_as_asked(server: Server, work: Workers) -> None:
    worker = work(echo=echo)

    async def use(client: AsyncClient) -> None:
        for priority in ("high", "normal", "low", None):
            assert await client.submit_job("echo", "x", priority=priority) == b"x"
        assert await client.submit_job("echo", "x", reducer="sum") == b"x"
        assert worker.jobs[-1].reducer == b"sum"
        now = dt.datetime.now(dt.UTC)
        for when in ({"delay": 1000}, {"at": now.timestamp() + 1000}, {"at": now + dt.timedelta(seconds=1000)}):
            job = await client.submit_background_job("echo", "x", **when)
            status = await client.get_job_status(job)
            assert (status.is_known, status.is_running) == (True, False)

    run(server, use)


def test_an_exception_passes_with_its_payload_where_it_is_asked_for(server: Server, work: Workers) -> None:
    def explode(job: Assigned) -> bytes:
        raise ExplodeError(b"why")

    work(explode=explode)

    async def use(client: AsyncClient) -> None:
        with pytest.raises(JobException) as raised:
            await client.submit_job("explode", "x")
        assert raised.value.payload == b"why"
        async with AsyncClient(server.address, exceptions=False) as plain:
            with pytest.raises(JobFailed):
                await plain.submit_job("explode", "x")

    run(server, use)


def test_jobs_of_one_unique_id_are_one_job(server: Server, work: Workers) -> None:
    gate = Gate()
    worker = work(slow=gate)

    async def use(client: AsyncClient) -> None:
        jobs = [await client.submit("slow", "x", unique="mine") for _ in range(5)]
        handles = {(await job.job()).handle for job in jobs}
        gate.go.set()
        assert await asyncio.gather(*jobs) == [b"x"] * 5
        assert len(handles) == len(worker.jobs) == 1

    run(server, use)


def test_what_cannot_be_sent_is_refused_before_anything_is_sent(server: Server) -> None:
    async def use(client: AsyncClient) -> None:
        for call in (
            client.submit("", "x"),
            client.submit("f", object()),  # type: ignore[call-overload]  # on purpose
            client.submit("f", "x", unique="u" * 64),
            client.submit("f", "x", retry=1),
            client.submit("f", "x", priority="urgent"),  # type: ignore[call-overload]  # on purpose
            client.submit_background_job("f", "x", delay=1, at=1.0),
            client.get_job_status(),
            client.get_job_status("elsewhere:1/H:1"),
            client.echo(server="elsewhere:1"),
        ):
            with pytest.raises(InvalidArgument):
                await call
        for options in ({"window": 0}, {"retry": 1}):
            with pytest.raises(InvalidArgument):
                client.submit_many("f", ["x"], **options)  # type: ignore[call-overload]  # numbers
        assert (await client.admin.status())[server.address] == []

    run(server, use)


def test_the_server_is_chosen_by_function_and_unique_id() -> None:
    with job_server() as one, job_server() as two:

        async def use() -> None:
            async with (
                AsyncClient([one.address, two.address]) as client,
                AsyncClient([two.address, one.address]) as other,
            ):
                for number in range(20):
                    first = await client.submit_background_job("f", "x", unique=f"u{number}")
                    again = await other.submit_background_job("f", "x", unique=f"u{number}")
                    assert str(first) == str(again)
                    assert (await client.get_job_status(first)).server == first.server
                spread = {job.server async for job in client.submit_background_jobs("f", ["x"] * 600, unique=None)}
                assert spread == {one.address, two.address}
                assert (await client.get_job_status(unique="u7")).is_known
                assert await client.echo(b"x", server=two.address) == b"x"

        asyncio.run(asyncio.wait_for(use(), 60))


def test_a_second_at_the_same_job_wakes_nobody_else(server: Server, work: Workers) -> None:
    gate = Gate()
    work(slow=gate)

    async def use(client: AsyncClient) -> None:
        job = await client.submit("slow", "x")
        waiters = [asyncio.ensure_future(asyncio.shield(job)) for _ in range(10)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        gate.go.set()
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [b"x"] * 9

    run(server, use)


def test_json_and_text_are_sent_and_read_alike(server: Server, work: Workers) -> None:
    work(echo=echo)

    async def use(client: AsyncClient) -> None:
        thing = {"name": "ä", "list": [1, 2.5, None]}
        assert await client.submit_job("echo", thing, payload="json") == thing
        assert await client.submit_job("echo", "ä", payload="text") == "ä"
        with pytest.raises(InvalidArgument, match='payload="json"'):
            await client.submit_job("echo", thing)  # type: ignore[call-overload]  # on purpose
        async with AsyncClient(server.address, payload="json") as speaks_json:
            assert_type(speaks_json, AsyncClient[Any])
            job = await speaks_json.submit("echo", thing)
            assert await job == thing
            assert [each async for each in speaks_json.map("echo", [1, "2", [3]])] == [1, "2", [3]]
            assert await speaks_json.submit_job("echo", b"raw", payload="bytes") == b"raw"
            handle = await speaks_json.submit_background_job("later", thing)
            assert (await speaks_json.get_job_status(handle)).is_known
        assert_type(client, AsyncClient[bytes])

    run(server, use)


def test_durations_are_seconds_or_timedeltas(server: Server) -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(JobTimedOut):
            await client.submit_job("nobody", "x", timeout=dt.timedelta(milliseconds=500))
        for wrong in ("5", -1, float("nan"), True):
            with pytest.raises(InvalidArgument, match="timeout"):
                await client.submit("nobody", "x", timeout=wrong)  # type: ignore[arg-type]  # on purpose
            with pytest.raises(InvalidArgument, match="timeout"):
                await client.echo(timeout=wrong)  # type: ignore[arg-type]  # on purpose
            with pytest.raises(InvalidArgument, match="timeout"):
                client.map("nobody", ["x"], timeout=wrong)  # type: ignore[arg-type]  # on purpose
        job = await client.submit_background_job("later", "x", delay=dt.timedelta(hours=1))
        assert (await client.get_job_status(job)).is_known

    run(server, use)


def test_a_bad_item_has_its_place_where_errors_are_results(server: Server, work: Workers) -> None:
    work(echo=echo)

    async def use(client: AsyncClient) -> None:
        items: Any = ["a", object(), "c"]
        results = [result async for result in client.map("echo", items, return_exceptions=True)]
        assert results[0] == b"a"
        assert isinstance(results[1], InvalidArgument)
        assert results[1].index == 1
        assert results[2] == b"c"
        assert [type(each) async for each in client.map("nobody", items, return_exceptions=True, timeout=0.5)] == [
            JobTimedOut,
            InvalidArgument,
            JobTimedOut,
        ]
        totals = {row.function: row.total for row in (await client.admin.status())[server.address]}
        assert totals["nobody"] == 2

    run(server, use)


def test_a_result_of_another_kind_is_an_error_that_carries_it(server: Server, work: Workers) -> None:
    work(odd=lambda job: b"\xff")

    async def use(client: AsyncClient) -> None:
        for kind in ("text", "json"):
            with pytest.raises(UndecodableResult) as raised:
                await client.submit_job("odd", "x", payload=kind)
            assert raised.value.payload == b"\xff"

    run(server, use)
