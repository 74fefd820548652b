"""The text protocol from asyncio, against our server and gearmand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gearpool import AsyncClient, NoServersAvailable
from gearpool.errors import ConnectFailed, ConnectionLost, GearpoolError, InvalidArgument, RemoteProtocolError, TimedOut
from gearpool.protocol.admin import Command
from tests.client.conftest import Server, Workers
from tests.client.scripted import Peer, ScriptedServer
from tests.client.test_client import echo
from tests.processes import free_port


def run(servers: str | list[str], use: Callable[[AsyncClient], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), AsyncClient(servers, **options) as client:
            await use(client)

    asyncio.run(main())


def test_every_question_is_answered(server: Server, work: Workers) -> None:
    work(echo=echo)

    async def use(client: AsyncClient) -> None:
        name, admin = server.address, client.admin
        await client.submit_background_job("later", "x", unique="mine")
        assert {row.function: row.total for row in (await admin.status())[name]}["later"] == 1
        assert {row.function for row in (await admin.priority_status())[name]} >= {"later"}
        assert any("echo" in row.functions for row in (await admin.workers())[name])
        assert len((await admin.jobs())[name]) == 1
        assert (await admin.unique_jobs())[name] == ["mine"]
        assert (await admin.version())[name]
        assert (await admin.getpid())[name] > 0
        assert (await admin.verbose())[name]

    run(server.address, use)


def test_what_an_administrator_changes(server: Server) -> None:
    async def use(client: AsyncClient) -> None:
        admin = client.admin
        await admin.create("new")
        assert [row.function for row in (await admin.status())[server.address]] == ["new"]
        await admin.maxqueue("new", 1)
        job = await client.submit_background_job("new", "x")
        with pytest.raises(GearpoolError, match="QUEUE"):
            await client.submit_background_job("new", "y")
        with pytest.raises(GearpoolError, match="1 jobs"):
            await admin.drop("new")
        assert await admin.cancel(job)
        assert not await admin.cancel("H:nobody:99")
        with pytest.raises(InvalidArgument):
            await admin.maxqueue("new", -1)
        with pytest.raises(InvalidArgument, match="is not one of"):
            await admin.status("elsewhere:1")

    run(server.address, use)


def test_of_several_servers_one_that_is_down_hides_none(server: Server) -> None:
    down = f"127.0.0.1:{free_port()}"

    async def use(client: AsyncClient) -> None:
        replies = await client.admin.version()
        assert list(replies) == [server.address]
        assert isinstance(replies.failures[down], ConnectFailed)
        with pytest.raises(NoServersAvailable, match="refused"):
            await client.admin.version(down)
        with pytest.raises(InvalidArgument, match="several servers"):
            await client.admin.cancel("H:x:1")

    run([down, server.address], use)


def silent(peer: Peer) -> None:
    while peer.sock.recv(65536):
        pass


def closing(peer: Peer) -> None:
    peer.sock.recv(65536)


def binary(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.raw(b"\0RES\0\0\0\x08\0\0\0\0\n")
    silent(peer)


@pytest.mark.parametrize(
    ("script", "error"), [(silent, TimedOut), (closing, ConnectionLost), (binary, RemoteProtocolError)]
)
def test_a_server_that_does_not_answer_as_it_should(script: Callable[[Peer], None], error: type[Exception]) -> None:
    async def use(client: AsyncClient) -> None:
        with pytest.raises(error):
            await client.admin.status()
        with pytest.raises(error):
            await client.admin.ask(server.address, Command.STATUS)

    with ScriptedServer(script) as server:
        run(server.address, use, request_timeout=0.2)
