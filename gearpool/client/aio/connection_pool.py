"""The asyncio client's connections: one a server, opened when first needed, chosen by function and unique id. Floor 3.

Like `gearpool.client.connection_pool`, whose routing it shares: it knows nothing of jobs, remembers which servers are
down, and reports to its owner which calls a lost connection left open. One attempt to connect to a server is under way at a
time, and all callers await the same one, each until its own deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from gearpool.client.aio.connection import AsyncConnection
from gearpool.client.aio.jobs import AsyncRequest
from gearpool.client.aio.time_limits import LATE_S
from gearpool.client.defaults import CLOSED, NOT_IN_TIME, UNANSWERED, ClientSettings
from gearpool.client.routing import Health, rank
from gearpool.client.session import Call, Session
from gearpool.errors import ConnectFailed, NoServersAvailable, TimedOut, UsageError
from gearpool.net.async_dialing import connect
from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline

OnEnd = Callable[[str, str, list[Call]], None]

CLOSE_S = 1.0
"""How long closing waits for a server that does not read what is still to be sent."""


class AsyncPool:
    """Connections to several servers, on one loop.

    Args:
        settings: the options of the client.
        on_end: called with (server, reason, calls left open) when a connection has ended, or a server has forgotten jobs.
    """

    def __init__(
        self,
        settings: ClientSettings,
        on_end: OnEnd,
    ) -> None:
        self._settings = settings
        self._servers = {str(server): server for server in settings.servers}
        self.closed: bool = False
        self._on_end = on_end
        self._names = tuple(self._servers)
        self._health = Health(self._names)
        self._live: dict[str, AsyncConnection] = {}
        self._all: set[AsyncConnection] = set()
        self._dialing: dict[str, asyncio.Task[AsyncConnection]] = {}
        self._reviving: dict[str, asyncio.Task[None]] = {}

    def ready(self, function: bytes, unique: bytes) -> AsyncConnection | None:
        """The connection for this job, if the server that comes first is connected; otherwise `choose` it."""
        name = self._names[0]
        if len(self._names) > 1:
            name = self._health.preferred(rank(self._names, function, unique))[0]
        live = self._live.get(name)
        return live if live is not None and live.usable else None

    async def choose(self, function: bytes, unique: bytes, deadline: Deadline) -> AsyncConnection:
        """A live connection to the best server for this job that can be reached.

        Raises:
            NoServersAvailable: none can.
            TimedOut: the deadline came first.
        """
        if len(self._names) == 1:
            return await self.to(self._names[0], deadline)
        reasons: dict[str, str] = {}
        names = self._health.preferred(rank(self._names, function, unique))
        for index, name in enumerate(names):
            try:
                # One that hangs must leave time for the next.
                return await self._open(name, deadline.share(len(names) - index))
            except ConnectFailed as error:
                reasons[name] = error.reason
            except TimedOut:
                if index == len(names) - 1:
                    raise
                reasons[name] = NOT_IN_TIME
        raise NoServersAvailable({name: reasons[name] for name in self._names if name in reasons})

    async def to(self, name: str, deadline: Deadline) -> AsyncConnection:
        """A live connection to this server.

        Raises:
            NoServersAvailable: it cannot be reached.
            TimedOut: the deadline came first.
        """
        try:
            return await self._open(name, deadline)
        except ConnectFailed as error:
            raise NoServersAvailable({name: error.reason}) from error

    def current(self, name: str) -> AsyncConnection | None:
        """The connection to this server, if there is one."""
        return self._live.get(name)

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        self.closed = True
        tasks = [*self._dialing.values(), *self._reviving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(connection.close(CLOSE_S) for connection in self._all.copy()))

    def abort(self) -> None:
        """End all connections at once."""
        self.closed = True
        for task in (*self._dialing.values(), *self._reviving.values()):
            task.cancel()
        for connection in self._all.copy():
            connection.abort("the client was abandoned without close()")

    def disown(self) -> list[Call]:
        """In a forked child: leave the connections to the parent; what was under way on them."""
        self.closed = True
        for connection in self._all:
            connection.disown()
        return [call for connection in self._all for call in connection.session.leftovers()]

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._all)

    @property
    def reads(self) -> int:
        """How many times bytes have come, over the connections that there are."""
        return sum(connection.reads for connection in self._all)

    def of(self, server: str) -> list[AsyncConnection]:
        """All connections to this server, retired ones too."""
        return [connection for connection in self._all if connection.server == server]

    async def _open(self, name: str, deadline: Deadline) -> AsyncConnection:
        while True:
            if self.closed:
                raise UsageError(CLOSED)
            live = self._live.get(name)
            if live is not None and live.usable:
                return live
            if deadline.expired():
                raise TimedOut(f"no time left to connect to {name}")
            task = self._dialing.get(name)
            if task is None:
                task = self._dialing[name] = self._task(self._dial(name))
                task.add_done_callback(lambda _: self._dialing.pop(name, None))
            # Not cancelled with one waiter: others may wait for it too, and a failure must be recorded.
            await asyncio.wait({task}, timeout=deadline.timeout())
            if not task.done():
                raise TimedOut(f"no connection to {name} in time")
            if task.cancelled():
                continue
            connection = task.result()
            if connection.usable:
                return connection

    async def _dial(self, name: str) -> AsyncConnection:
        transport = await self._connected(name)
        before = self._live.get(name)
        connection = AsyncConnection(
            name,
            transport,
            Session(self._settings.max_packet),
            request_timeout=self._settings.request_timeout,
            on_end=self._ended,
            on_left=self._on_end,
        )
        if self._settings.exceptions:
            # First on the connection, so that it applies to everything after it; its answer is not awaited.
            connection.call([AsyncRequest(PacketType.OPTION_RES)], request(PacketType.OPTION_REQ, b"exceptions"))
        self._all.add(connection)
        self._live[name] = connection
        self._health.worked(name)
        if before is not None and not before.session.busy:
            before.shut(UNANSWERED)  # a retired one without jobs under way
        return connection

    async def _connected(self, name: str) -> asyncio.Transport:
        while True:
            limit = Deadline.after(self._settings.connect_timeout)
            try:
                return (await connect(self._servers[name], limit, modules=self._settings.modules))[0]
            except ConnectFailed as error:
                if time.monotonic() > limit.at + LATE_S:
                    continue  # the loop was blocked meanwhile: it is not known whether the server was silent
                self._failed(name, error.reason)
                raise

    def _failed(self, name: str, reason: str) -> None:
        delay = self._health.failed(name, reason)
        if len(self._names) > 1 and not self.closed and name not in self._reviving:
            task = self._reviving[name] = self._task(self._revive(name, delay))
            task.add_done_callback(lambda _: self._reviving.pop(name, None))

    async def _revive(self, name: str, delay: float) -> None:
        """Try a server that is down, with growing pauses, until it is back: callers then find it open."""
        while True:
            await asyncio.sleep(delay)
            try:
                await self._open(name, Deadline.never())
            except ConnectFailed:
                delay = self._health.rests(name)
            else:
                return

    @staticmethod
    def _task(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # for the waiters, if any
        return task

    def _ended(self, connection: AsyncConnection) -> None:
        self._all.discard(connection)
        if self._live.get(connection.server) is connection:
            del self._live[connection.server]
        reason = "the client was closed" if self.closed else connection.ended or ""
        self._on_end(connection.server, reason, connection.session.leftovers())
