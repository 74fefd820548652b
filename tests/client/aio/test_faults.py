"""Servers that misbehave, seen from asyncio: every call ends, and the loop and the application's executor stay free."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gearpool import AsyncClient, JobTimedOut, NoServersAvailable, SubmitUnknown
from gearpool.client.routing import rank
from gearpool.errors import ConnectionLost, GearpoolError, JobCancelled, ServerError, TimedOut, UsageError
from gearpool.protocol.packets import PacketType
from gearpool.testing import ThreadedJobServer, job_server, working
from tests.client.scripted import Peer, ScriptedServer
from tests.client.workers import ThreadWorker
from tests.processes import Gearmand, free_port

T = PacketType
LONG = 30.0


class NoExecutor(concurrent.futures.ThreadPoolExecutor):
    """The application's: nobody else may use it."""

    def submit(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("the application's executor was used")


def run(servers: str | list[str], use: Callable[[AsyncClient], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(NoExecutor(1))
        client = AsyncClient(servers, **{"request_timeout": 0.5, "connect_timeout": 2.0, **options})
        async with asyncio.timeout(60), client:
            await use(client)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def wait_silently(peer: Peer) -> None:
    while peer.next() is not None:
        pass


def accept_all(peer: Peer) -> None:
    """Acknowledges what is submitted, answers nothing else."""
    count = 0
    while (packet := peer.next()) is not None:
        if packet[0].name.startswith("SUBMIT"):
            count += 1
            peer.send(T.JOB_CREATED, b"H:%d" % count)


async def error_of(awaited: Awaitable[object]) -> BaseException | None:
    try:
        await awaited
    except GearpoolError as error:
        return error
    return None


def test_with_a_hung_server_two_hundred_awaited_jobs_end_by_their_limits_and_ask_it_one_question() -> None:
    asked: Counter[str] = Counter()

    def script(peer: Peer) -> None:
        count = 0
        while (packet := peer.next()) is not None:
            asked[packet[0].name] += 1
            if packet[0] is T.SUBMIT_JOB:
                count += 1
                peer.send(T.JOB_CREATED, b"H:%d" % count)

    async def use(client: AsyncClient) -> None:
        jobs = [await client.submit("f", "x", unique=f"u{number}", timeout=3.0) for number in range(200)]
        errors = await asyncio.gather(*jobs, return_exceptions=True)
        assert {type(error) for error in errors} == {JobTimedOut}
        assert {error.server for error in errors} == {server.address}  # type: ignore[union-attr]  # all are errors

    with ScriptedServer(script) as server:
        run(server.address, use, request_timeout=20.0)
    # Asked about each once, in one write: the server has not answered, so it is not asked again.
    assert asked["GET_STATUS"] <= 200
    assert server.connections == 1


def test_a_submission_that_is_never_acknowledged_is_unknown_and_the_next_goes_over_a_new_connection() -> None:
    def forgetful(peer: Peer) -> None:
        peer.next()
        if server.connections > 1:
            peer.send(T.JOB_CREATED, b"H:1")
        wait_silently(peer)

    async def use(client: AsyncClient) -> None:
        with pytest.raises(SubmitUnknown) as raised:
            await client.submit_job("f", "x", timeout=None)
        assert raised.value.server == server.address
        assert (await client.submit_background_job("f", "x")).handle == "H:1"
        assert server.connections == 2

    with ScriptedServer(forgetful) as server:
        run(server.address, use)


def test_a_connection_that_left_a_request_unanswered_still_brings_the_results_under_way() -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        first = peer.next()
        if server.connections > 1:
            peer.send(T.JOB_CREATED, b"H:2")
        elif first is not None:
            peer.send(T.JOB_CREATED, b"H:1")
            peer.next()  # never answered
            go.wait(LONG)
            peer.send(T.WORK_COMPLETE, b"H:1", b"late")
        wait_silently(peer)

    async def use(client: AsyncClient) -> None:
        early = await client.submit("f", "x")
        await early.job()
        with pytest.raises(TimedOut):
            await client.get_job_status("H:9")
        assert (await client.submit_background_job("f", "x")).handle == "H:2"
        go.set()
        assert await early == b"late"

    with ScriptedServer(script) as server:
        run(server.address, use)


def test_a_server_that_is_silent_from_the_start_is_no_server() -> None:
    def mute(peer: Peer) -> None:
        while peer.sock.recv(65536):
            pass

    async def use(client: AsyncClient) -> None:
        with pytest.raises(NoServersAvailable) as raised:
            await client.submit_job("f", "x")
        assert "does not answer" in raised.value.reasons[server.address]

    with ScriptedServer(mute) as server:
        run(server.address, use, connect_timeout=0.2)


def test_a_limit_bounds_connecting_too() -> None:
    def mute(peer: Peer) -> None:
        while peer.sock.recv(65536):
            pass

    async def use(client: AsyncClient) -> None:
        with pytest.raises(TimedOut):
            await client.submit("f", "x", timeout=0.1)
        with pytest.raises(TimedOut):
            await client.echo(timeout=0.1)
        with pytest.raises(TimedOut):
            await client.submit_background_job("f", "x", timeout=0.1)

    with ScriptedServer(mute) as server:
        run(server.address, use, connect_timeout=20.0)
        assert server.connections == 1


def test_a_loop_that_was_blocked_while_it_connected_does_not_take_the_server_for_silent() -> None:
    async def use(client: AsyncClient) -> None:
        for steps in (2, 4, 6):
            client._dispatch._pid = 0  # begin anew, without a connection
            asking = asyncio.ensure_future(client.echo(b"x"))
            for _ in range(steps):
                await asyncio.sleep(0)
            time.sleep(0.8)
            assert await asking == b"x"
            await client._dispatch.pool.close()

    with job_server() as server:
        run(server.address, use, connect_timeout=0.1, request_timeout=20.0)


def test_who_is_cancelled_while_it_connects_leaves_the_connection_to_the_others() -> None:
    async def use(client: AsyncClient) -> None:
        first = asyncio.ensure_future(client.submit("nobody", "x"))
        second = asyncio.ensure_future(client.submit_background_job("later", "x"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        assert first.cancelled()
        assert (await second).handle

    with job_server() as server:
        run(server.address, use, request_timeout=10.0)


@pytest.mark.parametrize(
    "garbage",
    [b"garbage that is no packet", b"\0RES" + b"\xff" * 8, b"\0RES\0\0\0\x0d\0\0\0\x01x", b"\0RES\0\0\0\x08\xff\0\0\0"],
    ids=["text", "unknown type", "too few arguments", "too large"],
)
def test_garbage_ends_the_connection_and_all_that_waited_on_it(garbage: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        peer.next()
        peer.raw(garbage)
        wait_silently(peer)

    async def use(client: AsyncClient) -> None:
        running = await client.submit("f", "x")
        await running.job()
        unanswered = await client.submit("f", "y")
        assert isinstance(await error_of(running), ConnectionLost)
        assert isinstance(await error_of(unanswered), SubmitUnknown)

    with ScriptedServer(script) as server:
        run(server.address, use, request_timeout=10.0)


def test_a_refusal_is_an_error_of_that_submission_only() -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.ERROR, b"QUEUE_ERROR", b"Job queue is full")
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        wait_silently(peer)

    async def use(client: AsyncClient) -> None:
        with pytest.raises(ServerError, match="QUEUE_ERROR"):
            await client.submit_background_job("f", "x")
        assert (await client.submit_background_job("f", "x")).handle == "H:1"
        assert server.connections == 1

    with ScriptedServer(script) as server:
        run(server.address, use)


def test_a_server_that_reads_nothing_does_not_hold_up_a_caller_past_its_deadline() -> None:
    release = threading.Event()

    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        release.wait(LONG)

    async def use(client: AsyncClient) -> None:
        await client.submit_background_job("f", "x")
        large = bytes(16 * 1024 * 1024)
        job = await client.submit("f", large, timeout=0.2)
        with pytest.raises(TimedOut, match="does not read"):
            await client.submit("f", large, timeout=0.2)
        assert isinstance(await error_of(job), SubmitUnknown)
        assert await asyncio.wait_for(asyncio.sleep(0, "free"), 10) == "free"
        release.set()

    with ScriptedServer(script) as server:
        run(server.address, use)


def drop(server: ThreadedJobServer) -> None:
    server.faults.drop()


def garble(server: ThreadedJobServer) -> None:
    server.faults.garble()


@pytest.mark.parametrize("fault", [drop, garble])
def test_a_job_is_submitted_again_by_its_unique_id_after_a_fault(fault: Callable[[ThreadedJobServer], None]) -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit("echo", "x", unique="mine", retry=5)
        await job.job()
        fault(server)
        with working(server, echo=lambda arg: arg):
            assert await job == b"x"
        assert job.retries >= 3

    with job_server() as server:
        run(server.address, use, request_timeout=5.0)


def test_a_lost_submission_is_unknown_and_a_lost_result_times_out() -> None:
    async def use(client: AsyncClient) -> None:
        server.faults.lose_next("JOB_CREATED")
        with pytest.raises(SubmitUnknown):
            await client.submit_job("echo", "x", timeout=None)
        server.faults.lose_next("WORK_COMPLETE", direction="sent")
        with pytest.raises(JobTimedOut):
            await client.submit_job("echo", "x", timeout=2.0)
        assert await client.submit_job("echo", "y") == b"y"

    with job_server() as server, working(server, echo=lambda arg: arg):
        run(server.address, use)


def test_a_delayed_server_is_waited_for() -> None:
    async def use(client: AsyncClient) -> None:
        await client.echo()
        server.faults.delay(0.2)
        assert await client.echo(b"late") == b"late"
        assert await client.submit_job("echo", "x") == b"x"

    with job_server() as server, working(server, echo=lambda arg: arg):
        run(server.address, use, request_timeout=20.0)


def test_a_silent_server_leaves_each_call_its_limit_and_is_used_again_when_it_speaks() -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit("nobody", "x", timeout=0.4)
        await job.job()
        server.faults.silence()
        late = await client.submit("nobody", "y", timeout=0.4)
        with pytest.raises(TimedOut):
            await client.echo(timeout=0.2)
        assert isinstance(await error_of(job), JobTimedOut)
        assert isinstance(await error_of(late), SubmitUnknown)
        server.faults.clear()
        while await error_of(client.echo()):
            pass

    with job_server() as server:
        run(server.address, use, connect_timeout=0.3)


def test_a_server_that_hangs_leaves_a_job_time_for_the_next() -> None:
    async def use(client: AsyncClient) -> None:
        assert (await client.submit_background_job("f", "x", unique=unique, timeout=6.0)).server == running.address

    with socket.create_server(("127.0.0.1", 0)) as listener, job_server() as running:
        hung = f"127.0.0.1:{listener.getsockname()[1]}"  # connects, and never answers
        uniques = (f"u{number}" for number in range(1000))
        unique = next(each for each in uniques if rank([hung, running.address], b"f", each.encode())[0] == hung)
        run([hung, running.address], use, request_timeout=60.0, connect_timeout=60.0)


def test_a_connection_that_was_given_up_was_not_closed_by_the_server() -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit("f", "x")
        with pytest.raises(ConnectionLost, match="left a request unanswered"):
            await client.get_job_status("H:1", timeout=LONG)
        with pytest.raises(SubmitUnknown):
            await job

    with ScriptedServer(wait_silently) as server:
        run(server.address, use, request_timeout=0.2)


def test_a_server_that_refuses_is_passed_over_and_used_when_it_is_back() -> None:
    async def use(client: AsyncClient) -> None:
        first.faults.refuse()
        for number in range(20):
            assert (await client.submit_background_job("f", "x", unique=f"u{number}")).server == second.address
        first.faults.clear()
        while (await client.submit_background_job("f", "x")).server != first.address:
            pass

    with job_server() as first, job_server() as second:
        run([first.address, second.address], use, request_timeout=20.0)


def test_when_no_server_is_left_a_retry_ends_as_an_error(gearmand: Gearmand) -> None:
    async def use(client: AsyncClient) -> None:
        jobs = [await client.submit("nobody", "x", unique=f"mine-{number}", retry=2) for number in range(50)]
        await jobs[-1].job()
        gearmand.kill()
        errors = await asyncio.gather(*jobs, return_exceptions=True)
        assert {type(error) for error in errors} == {NoServersAvailable}

    run(gearmand.address, use, request_timeout=20.0)


def test_a_discarded_job_does_not_keep_a_new_client_waiting_for_ever(gearmand: Gearmand) -> None:
    # gearmand discards a waiting job whose last client leaves, yet gives its handle to later submissions.
    async def leave() -> str:
        async with AsyncClient(gearmand.address) as leaving:
            return (await (await leaving.submit("later", "x", unique="mine")).job()).handle

    handle = asyncio.run(leave())

    async def use(client: AsyncClient) -> None:
        job = await client.submit("later", "x", unique="mine", retry=3)
        assert (await job.job()).handle == handle
        worker = ThreadWorker(gearmand.address, {"later": lambda job: b"done"})
        assert await job == b"done"
        worker.stop()

    run(gearmand.address, use, request_timeout=20.0)


def test_a_cancelled_job_keeps_nothing_but_its_handle_and_the_server_runs_it() -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit("echo", "x", unique="mine")
        handle = await job.job()
        waiting = asyncio.ensure_future(asyncio.wait_for(job, LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert job.cancelled()
        assert isinstance(job._error, JobCancelled)
        assert not any(connection.session.busy for connection in client._dispatch.pool.of(server.address))
        assert (await client.get_job_status(handle)).is_known
        assert (await client.get_job_status(job)).is_known
        other = await client.submit("echo", "x", unique="mine")
        assert (await other.job()).handle == handle.handle  # the submission stands
        with working(server, echo=lambda arg: arg):
            assert await other == b"x"

    with job_server() as server:
        run(server.address, use, request_timeout=20.0)


def test_cancelled_jobs_that_wait_are_taken_out_of_the_queue() -> None:
    async def use(client: AsyncClient) -> None:
        jobs = [await client.submit("nobody", "x") for _ in range(20)]
        shared = await client.submit("nobody", "x", unique="mine")
        for job in (*jobs, shared):
            job.cancel()  # before the server has named them
        while (await client.admin.status())[server.address][0].total != 1:
            pass
        assert (await client.get_job_status(shared)).is_known
        assert await client.admin.cancel(await shared.job())

    with job_server() as server:
        run(server.address, use, request_timeout=20.0)


def test_closing_tells_everyone_and_a_closed_client_says_so() -> None:
    async def use(client: AsyncClient) -> None:
        job = await client.submit("nobody", "x")
        waiting = asyncio.ensure_future(error_of(job))
        await job.job()
        unseen = await client.submit("nobody", "x", unique="mine", retry=5)
        server.faults.refuse()
        server.faults.drop()
        assert isinstance(await waiting, ConnectionLost)
        await client.close()
        assert isinstance(await error_of(unseen), GearpoolError)
        await client.close()
        for call in (
            client.submit("f"),
            client.echo(),
            client.get_job_status("H:1"),
            client.submit_background_job("f"),
        ):
            with pytest.raises(UsageError, match="closed"):
                await call

    with job_server() as server:
        run(server.address, use, request_timeout=20.0)


def test_jobs_that_are_not_awaited_cause_no_warning_when_the_client_is_closed() -> None:
    noise: list[object] = []

    async def use(client: AsyncClient) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        for number in range(10):
            await (await client.submit("nobody", "x", unique=f"u{number}", retry=3)).job()

    with job_server() as server:
        run(server.address, use, request_timeout=20.0)
    gc.collect()
    assert not noise


def test_a_client_serves_one_loop_at_a_time_and_starts_afresh_on_the_next() -> None:
    with job_server() as server, working(server, echo=lambda arg: arg):
        client = AsyncClient(server.address)

        async def use() -> bytes:
            return await client.submit_job("echo", "x")

        async def first() -> None:
            assert await use() == b"x"

            def elsewhere() -> None:
                with pytest.raises(UsageError, match="another event loop"):
                    asyncio.run(use())

            await asyncio.to_thread(elsewhere)
            client._dispatch.pool.abort()  # what asyncio complains of when a loop ends with open connections
            await asyncio.sleep(0)

        asyncio.run(first())

        async def second() -> None:
            assert await use() == b"x"
            await client.close()

        asyncio.run(second())


def test_an_abandoned_client_is_told_of_and_its_connection_ends() -> None:
    async def use() -> None:
        clients = [AsyncClient(server.address)]
        await clients[0].echo()
        pool = clients[0]._dispatch.pool
        clients.clear()
        with pytest.warns(ResourceWarning, match="without close"):
            gc.collect()
        while pool.connections:
            await asyncio.sleep(0)

    with job_server() as server:
        asyncio.run(use())


def test_a_forked_child_starts_afresh_and_the_parents_jobs_continue() -> None:
    with job_server() as server, working(server, echo=lambda arg: arg):

        async def use() -> None:
            client = AsyncClient(server.address)
            job = await client.submit("nobody", "x")
            await job.job()
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    asyncio.events._set_running_loop(None)
                    assert asyncio.run(asyncio.wait_for(client.submit_job("echo", "child"), LONG)) == b"child"
                    code = 0
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            assert await client.submit_job("echo", "parent") == b"parent"
            assert not job.done()
            await client.close()

        asyncio.run(use())


def test_nobody_listening_is_said_at_once() -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(NoServersAvailable, match="refused"):
            await client.submit_job("f", "x")

    run(f"127.0.0.1:{free_port()}", use)


@pytest.mark.parametrize("handle", [b"H:\n1", b"H: 1", b"\xff" * 100], ids=["line end", "space", "long"])
def test_a_job_with_a_handle_that_may_not_be_asked_for_ends_at_its_limit_and_the_connection_lives_on(
    handle: bytes,
) -> None:
    given_up = threading.Event()

    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, handle)
        peer.next()
        peer.send(T.JOB_CREATED, b"H:2")
        assert given_up.wait(30)
        peer.send(T.WORK_COMPLETE, handle, b"late")
        peer.send(T.WORK_COMPLETE, b"H:2", b"done")
        wait_silently(peer)

    complaints: list[dict[str, Any]] = []

    async def use(client: AsyncClient) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        odd = asyncio.ensure_future(client.submit_job("f", timeout=0.3))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(client.submit_job("f", timeout=60.0))
        assert isinstance(await error_of(odd), JobTimedOut)
        given_up.set()
        assert await other == b"done"

    with ScriptedServer(script) as server:
        run(server.address, use)
    assert not complaints
