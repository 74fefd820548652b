"""The servers' text protocol from asyncio. Floor 3.

Like `gearpool.client.admin`, whose interpretation of replies it shares: each request has a connection of its own, all
servers are asked at once, and one that is down is listed in ``failures``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gearpool.client.asking import known_server, one_server
from gearpool.client.replies import Reading, Replies, check_empty, collect, parse_pid, queue_limits, was_cancelled
from gearpool.errors import GearpoolError
from gearpool.net.async_dialing import connect
from gearpool.net.modules import Modules
from gearpool.protocol import admin as wire
from gearpool.protocol.admin import Command, FunctionRow, JobRow, PriorityRow, WorkerRow
from gearpool.protocol.names import function_name
from gearpool.settings import ServerSettings
from gearpool.timing import Deadline

_T = TypeVar("_T")


class AsyncAdmin:
    """Administrative commands, over one or several servers.

    Args:
        servers: whom to ask.
        timeout: seconds for each server, connecting included.
        modules: how names are resolved.

    Every method that asks all servers raises NoServersAvailable when none answers.
    """

    def __init__(self, servers: Sequence[ServerSettings], *, timeout: float, modules: Modules) -> None:
        self._servers = {str(server): server for server in servers}
        self._timeout = timeout
        self._modules = modules

    async def status(self, server: str | None = None) -> Replies[list[FunctionRow]]:
        """Functions with jobs (running ones included), running jobs and registered workers."""
        return await self._all(server, Command.STATUS, parse=wire.parse_status)

    async def priority_status(self, server: str | None = None) -> Replies[list[PriorityRow]]:
        """Functions with queued jobs by priority."""
        return await self._all(server, Command.PRIORITY_STATUS, parse=wire.parse_priority_status)

    async def workers(self, server: str | None = None) -> Replies[list[WorkerRow]]:
        """Every connection, with its id and functions."""
        return await self._all(server, Command.WORKERS, parse=wire.parse_workers)

    async def jobs(self, server: str | None = None) -> Replies[list[JobRow]]:
        """Every job the server holds."""
        return await self._all(server, Command.SHOW_JOBS, parse=wire.parse_jobs)

    async def unique_jobs(self, server: str | None = None) -> Replies[list[str]]:
        """The unique ids of every job the server holds."""
        return await self._all(server, Command.SHOW_UNIQUE_JOBS, parse=wire.parse_uniques)

    async def version(self, server: str | None = None) -> Replies[str]:
        """The servers' versions."""
        return await self._all(server, Command.VERSION, parse=wire.parse_ok)

    async def getpid(self, server: str | None = None) -> Replies[int]:
        """The servers' process ids. A changed one means a restart, after which old handles name other jobs."""
        return await self._all(server, Command.GETPID, parse=parse_pid)

    async def verbose(self, server: str | None = None) -> Replies[str]:
        """The servers' log levels."""
        return await self._all(server, Command.VERBOSE, parse=wire.parse_ok)

    async def create(self, function: str | bytes, server: str | None = None) -> Replies[str]:
        """Make the function known before any worker or job names it."""
        return await self._all(server, Command.CREATE_FUNCTION, function_name(function), parse=wire.parse_ok)

    async def drop(self, function: str | bytes, server: str | None = None) -> Replies[str]:
        """Forget the function. A server where jobs wait refuses, here: they would be lost, their unique ids dead.

        A job may still arrive between the check and the drop.
        """
        name = function_name(function)

        async def drop(settings: ServerSettings) -> str:
            check_empty(await self._ask(settings, Command.STATUS), name, str(settings))
            return wire.parse_ok(await self._ask(settings, Command.DROP_FUNCTION, name))

        return await self._each(server, drop)

    async def maxqueue(
        self, function: str | bytes, limits: int | tuple[int, int, int] | None, server: str | None = None
    ) -> Replies[str]:
        """Limit the queued jobs of a function; arguments and errors are those of `gearpool.Client.admin.maxqueue`."""
        words = queue_limits(limits)
        return await self._all(server, Command.MAXQUEUE, function_name(function), *words, parse=wire.parse_ok)

    async def cancel(self, job: object) -> bool:
        """Take a waiting job out of its queue; arguments and errors are those of `gearpool.Client.admin.cancel`."""
        server, handle = one_server(job, list(self._servers))
        return was_cancelled(await self.ask(server, Command.CANCEL_JOB, handle))

    async def ask(self, server: str, command: Command, *arguments: bytes) -> bytes:
        """One command, one server, the raw reply; errors are those of `gearpool.Client.admin.ask`."""
        return await self._ask(self._settings(server), command, *arguments)

    def _settings(self, server: str) -> ServerSettings:
        return self._servers[known_server(server, list(self._servers))]

    async def _all(
        self, server: str | None, command: Command, *arguments: bytes, parse: Callable[[bytes], _T]
    ) -> Replies[_T]:
        async def ask(settings: ServerSettings) -> _T:
            return parse(await self._ask(settings, command, *arguments))

        return await self._each(server, ask)

    async def _each(self, server: str | None, question: Callable[[ServerSettings], Awaitable[_T]]) -> Replies[_T]:
        servers = list(self._servers.values()) if server is None else [self._settings(server)]
        answers: dict[str, _T] = {}
        failures: dict[str, GearpoolError] = {}

        async def ask(settings: ServerSettings) -> None:
            try:
                answers[str(settings)] = await question(settings)
            except GearpoolError as error:
                failures[str(settings)] = error

        async with asyncio.TaskGroup() as group:
            for settings in servers:
                group.create_task(ask(settings))
        return collect([str(settings) for settings in servers], answers, failures)

    async def _ask(self, settings: ServerSettings, command: Command, *arguments: bytes) -> bytes:
        line = wire.request(command, *arguments)
        deadline = Deadline.after(self._timeout)
        transport, inbox = await connect(settings, deadline, modules=self._modules, greet=False)
        reading = Reading(command, str(settings))
        try:
            transport.write(line)
            async with asyncio.timeout(deadline.timeout()):
                while True:
                    reply = reading.reply(await inbox.receive())
                    if reply is not None:
                        return reply
        except OSError as error:
            raise reading.failed(error) from error
        finally:
            transport.abort()
