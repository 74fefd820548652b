"""What stands between the calls of an `AsyncClient` and its connections. Floor 3.

Like `gearpool.client.dispatch`, on one event loop: jobs are sent, asked about and sent again here. Nothing here uses a
thread or waits for a job; what continues in the background is a task of the client, which `close` ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import warnings
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gearpool.client.aio.connection_pool import AsyncPool
from gearpool.client.aio.jobs import AsyncJob, AsyncRequest
from gearpool.client.aio.time_limits import TimeLimits
from gearpool.client.defaults import CLOSED, ClientSettings
from gearpool.client.dispatching import Dispatching, Kinds, first_known
from gearpool.client.results import JobStatus, status_of
from gearpool.client.session import Call
from gearpool.client.submission import resubmission_pause
from gearpool.errors import ConnectionLost, GearpoolError, TimedOut, UsageError
from gearpool.protocol.codec import request
from gearpool.protocol.names import wire
from gearpool.protocol.packets import PacketType
from gearpool.timing import Backoff, Deadline

MAX_UNWANTED = 1000
"""Jobs that were given up and are still to be taken out of their servers' queues."""


class AsyncDispatch(Dispatching):
    """Sends and asks, over a pool of connections. Bound to the loop on which it is first used.

    Args:
        settings: the options of the client.
        withdraw: takes a waiting job, named ``server/handle``, out of its server's queue.

    Attributes:
        loop: the event loop.
        closed: after `close`.
        pool: the connections.
    """

    loop: asyncio.AbstractEventLoop
    pool: AsyncPool

    def __init__(
        self,
        settings: ClientSettings,
        withdraw: Callable[[str], Awaitable[object]],
    ) -> None:
        super().__init__(settings)
        self._withdraw = withdraw
        self.closed: bool = False
        self._tasks: set[asyncio.Task[None]] = set()

    def __del__(self) -> None:
        if self._pid != os.getpid() or self.closed or not self.pool.connections or self.loop.is_closed():
            return
        warnings.warn("an AsyncClient was abandoned without close()", ResourceWarning, stacklevel=1, source=self)
        self.loop.call_soon_threadsafe(self.pool.abort)

    def enter(self) -> None:
        """Each call of a user begins here: bind to the running loop.

        Raises:
            UsageError: the client is closed, or in use on another loop.
        """
        loop = asyncio.get_running_loop()
        if self.closed:
            raise UsageError(CLOSED)
        here = self._pid == os.getpid()
        if here and loop is self.loop:
            return
        if here and not self.loop.is_closed():
            raise UsageError("this AsyncClient is in use on another event loop: make one for each loop")
        if self._pid and not here:
            self.pool.disown()
        self.loop = loop
        self._begin()
        self._tasks = set()
        me = weakref.ref(self)  # connections must not keep an abandoned client alive

        def on_end(server: str, reason: str, calls: list[Call]) -> None:
            dispatch = me()
            if dispatch is not None:
                dispatch._on_end(server, reason, calls)

        self.pool = AsyncPool(self._settings, on_end)
        self._limits = TimeLimits(loop.call_later, self._expired, self._drained)
        self._reads = 0
        self._unwanted: deque[AsyncJob[Any]] = deque(maxlen=MAX_UNWANTED)
        self._withdrawing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close all connections; calls that still wait fail."""
        if self.closed:
            return
        self.closed = True
        if self._pid != os.getpid() or self.loop is not asyncio.get_running_loop():
            return
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.pool.close()

    # Sending.

    async def send(self, jobs: list[AsyncJob[Any]]) -> None:
        """Send these, in one write for each server.

        Raises:
            NoServersAvailable: some were not sent, because no server could be reached.
            TimedOut: there was no connection in time.
        """
        deadline = jobs[0]._deadline.earlier(Deadline.after(self.request_timeout))
        if len(self.names) == 1 or not jobs[0]._route[1]:
            # Without a unique id any server will do: each time another, so that all get their share.
            await self._send_together(jobs, jobs[0]._route[0], os.urandom(8) if len(self.names) > 1 else b"", deadline)
            return
        by_server: dict[str, list[AsyncJob[Any]]] = {}
        for job in jobs:
            connection = self.pool.ready(*job._route) or await self.pool.choose(*job._route, deadline)
            by_server.setdefault(connection.server, []).append(job)
        for group in by_server.values():
            await self._send_together(group, *group[0]._route, deadline)

    async def send_or_settle(self, jobs: list[AsyncJob[Any]]) -> None:
        """Send these, but for those that have ended already; those that cannot be sent end with the error."""
        jobs = [job for job in jobs if not job.done()]
        if not jobs:
            return
        try:
            await self.send(jobs)
        except GearpoolError as error:
            for job in jobs:
                if not job.sent:
                    job._settle(error)

    async def _send_together(self, jobs: list[AsyncJob[Any]], function: bytes, key: bytes, deadline: Deadline) -> None:
        while True:
            connection = self.pool.ready(function, key) or await self.pool.choose(function, key, deadline)
            if connection.full:
                try:
                    async with asyncio.timeout(deadline.timeout()):
                        await connection.room()
                except TimeoutError as error:
                    raise TimedOut(f"{connection.server} takes no more submissions: it does not read") from error
                continue
            now, name = time.monotonic(), connection.server
            if connection.call(jobs, b"".join([job._departs(name, now) for job in jobs])):
                break
        add = self._limits.add
        for job in jobs:
            job.sent = True
            add(job, job._deadline)

    # What `AsyncJob` asks of its owner.

    def ended(self, job: AsyncJob[Any]) -> None:
        """It is over: its time limit is no longer needed."""
        self._limits.discard(job, job._deadline)

    def distrust(self, job: AsyncJob[Any]) -> None:
        """Its answer is missing, and answers come in order: ask nothing more over the connection in use."""
        connection = self.pool.current(job.server)
        if connection is not None:
            connection.retired = True

    def forget(self, job: AsyncJob[Any]) -> None:
        """It is no longer waited for."""
        if job.handle is not None:
            for connection in self.pool.of(job.server):
                connection.session.abandon(wire(job.handle), job)

    def withdraw(self, job: AsyncJob[Any]) -> None:
        """Its caller has given it up: take it out of its server's queue, if it still waits there and that server answers."""
        if self.closed:
            return
        # One after the other, and of very many only the last: a thousand at once would be as many connections.
        self._unwanted.append(job)
        if self._withdrawing is None or self._withdrawing.done():
            self._withdrawing = self.start(self._withdraw_all())

    async def _withdraw_all(self) -> None:
        while self._unwanted:
            job = self._unwanted.popleft()
            with contextlib.suppress(GearpoolError):
                await job._named()
                if job.handle is not None:
                    await self._withdraw(f"{job.server}/{job.handle}")

    def _expired(self, job: AsyncJob[Any]) -> None:
        job._expire()
        self.forget(job)

    def _drained(self) -> bool:
        """Nothing has come since this was last asked."""
        before, self._reads = self._reads, self.pool.reads
        return before == self._reads

    # Asking.

    async def ask(
        self, name: str, question: PacketType, answer: PacketType, argument: bytes, deadline: Deadline
    ) -> list[bytes]:
        """One request, one answer: its arguments.

        Raises:
            NoServersAvailable: the server cannot be reached.
            TimedOut: it does not answer; the connection is given nothing new then.
            ConnectionLost: the connection broke first.
        """
        call = AsyncRequest(answer)
        while True:
            connection = await self.pool.to(name, deadline)
            if connection.call([call], request(question, argument)):
                break
        result = await call.ask(deadline)
        if result is None:
            connection.retired = True
            raise TimedOut(f"{name} did not answer {question.name} in time")
        return result

    async def first_known(self, names: list[str], key: bytes, deadline: Deadline, kinds: Kinds) -> JobStatus:
        """The status from the first of these servers that knows the job; all are asked at once.

        Raises as `dispatching.first_known`.
        """

        async def status(name: str) -> JobStatus:
            return status_of(await self.ask(name, *kinds, key, deadline), name)

        return first_known(await asyncio.gather(*map(status, names), return_exceptions=True))

    # The end of a connection.

    def _on_end(self, server: str, reason: str, calls: list[Call]) -> None:
        again: list[AsyncJob[Any]] = []
        for call in calls:
            if not isinstance(call, AsyncJob):
                call._lost(server, reason)
            elif not call._over:
                if call.retries > 0 and not self.closed:
                    again.append(call)
                    continue
                call._lost(server, reason)
                if self.closed:
                    call.exception()  # no warning by asyncio about an unread exception: the client is closed
        if again:
            self.start(self._resubmit(again, server, reason))

    async def _resubmit(self, jobs: list[AsyncJob[Any]], server: str, reason: str) -> None:
        """Submit again what a lost connection left open; the server recognises by unique id what it still has."""
        backoff = Backoff(0.1, 5.0)
        failure: GearpoolError = ConnectionLost(server, reason)
        try:
            await asyncio.sleep(resubmission_pause(max(job._tries for job in jobs)))
            while jobs:
                left: list[AsyncJob[Any]] = []
                down = False
                for job in jobs:
                    if job._over:
                        continue
                    if job.retries <= 0:
                        job._settle(failure)
                        continue
                    job.retries -= 1
                    if not down:
                        try:
                            await self.send([job])
                            continue
                        except GearpoolError as error:
                            # No server is left: asking again for each of thousands would take for ever.
                            failure, down = error, True
                    left.append(job)
                jobs = left
                if jobs:
                    await asyncio.sleep(backoff.next())
        finally:
            for job in jobs:  # the client is being closed
                if not job._over and self.closed:
                    job._settle(ConnectionLost(server, "the client was closed"))
                    job.exception()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run this until it ends, or the client is closed."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
