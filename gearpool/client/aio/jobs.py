"""A submitted job as asyncio knows it: an `asyncio.Future`. Floor 3.

Everything happens in the event loop's thread. A waiter adds a future of its own and removes it again, so a cancelled
waiter loses no event and leaves no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Protocol

from gearpool.client.orders import Order
from gearpool.client.payloads import Codec, R
from gearpool.client.requests import Request
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET, Submission
from gearpool.errors import GearpoolError, JobTimedOut, SubmitUnknown, UndecodableResult
from gearpool.timing import Deadline, Duration


class Owner(Protocol):
    """What a job needs of the client that submitted it."""

    loop: asyncio.AbstractEventLoop
    request_timeout: float

    def ended(self, job: AsyncJob[Any]) -> None:
        """It is over: its time limit is no longer needed."""

    def distrust(self, job: AsyncJob[Any]) -> None:
        """The server has left its submission unanswered."""

    def forget(self, job: AsyncJob[Any]) -> None:
        """It is no longer waited for."""

    def withdraw(self, job: AsyncJob[Any]) -> None:
        """Its caller has given it up: take it out of the queue."""


class AsyncJob(Submission, asyncio.Future[R]):
    """A submitted job: an `asyncio.Future` of its result, made by `AsyncClient.submit`.

    ``await job`` gives the result. `asyncio.gather`, `wait`, `as_completed`, `wait_for` and `shield` take it as any
    future; ``done``, ``result``, ``exception`` and ``add_done_callback`` are those of `asyncio.Future`, so ``result``
    does not wait. A background job is done, with an empty result, when the server has accepted it.

    Cancelling: a task that is cancelled while it awaits a job cancels the job, as with any future, and so do
    ``asyncio.wait_for`` and ``asyncio.timeout``; ``asyncio.shield(job)`` prevents it. What that means for the submission
    says `cancel`.

    Attributes:
        server: ``host:port`` of the server it went to last.
        sent: it was given to a connection.
        retries: how many times it may yet be submitted again after a lost connection.

    Awaiting raises:
        JobFailed: WORK_FAIL.
        JobException: WORK_EXCEPTION, with ``payload``.
        JobTimedOut: it did not end in time; it may still run.
        SubmitUnknown: the server never acknowledged it.
        ConnectionLost: the connection broke while it ran.
        ServerError: the server refused it.
        NoServersAvailable: it was to be submitted again, and no server was left.
        UndecodableResult: the result is not of the kind that ``payload`` named.
    """

    _waiters: set[asyncio.Future[None]] | None = None

    def __init__(
        self,
        owner: Owner,
        order: Order,
        unique: bytes,
        data: bytes,
        deadline: Deadline,
        codec: Codec,
        *,
        retries: int = 0,
        verify: bool = False,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        Submission.__init__(self, order, unique, data, deadline, retries=retries, verify=verify, on_event=on_event)
        asyncio.Future.__init__(self, loop=owner.loop)
        self._owner = owner
        self._codec = codec

    if not TYPE_CHECKING:

        @property
        def __dict__(self):
            # A future written in C has attributes, but no ``__dict__``. That of `Submission` would be found instead and
            # raise TypeError, which `dir`, `inspect` and debuggers do not expect.
            raise AttributeError("an asyncio.Future has no __dict__")

    def __repr__(self) -> str:
        return f"<AsyncJob {self._described()}>"

    async def job(self, timeout: Duration | None = UNSET) -> JobHandle:
        """Wait until the server has accepted it. Cancelling this leaves the job as it is.

        Args:
            timeout: seconds or a timedelta; None for no limit; the client's ``request_timeout`` if not given.

        Raises:
            ServerError: the server refused it; QUEUE_ERROR means full.
            SubmitUnknown: no answer came, or the connection broke first.
        """
        limit = Deadline.allowed(self._owner.request_timeout if timeout is UNSET else timeout)
        if not self._acknowledged and not await self._change(limit, lambda: self._acknowledged) and timeout is UNSET:
            # The server may talk of other jobs all the time: then it is not silent, and only this answer is missing.
            self._owner.distrust(self)
        return self._accepted()

    async def _named(self) -> None:
        """Wait until its server has named it, also after it was given up; at most the client's ``request_timeout``."""
        if not self._handle:
            await self._change(Deadline.after(self._owner.request_timeout), lambda: bool(self._handle))

    async def events(self) -> AsyncIterator[Event]:
        """What the worker sends while the job runs, each once, until the job has ended; then await the job.

        Parts of the result and warnings are kept until they are read here; of statuses only the last unread one. A
        reader may be cancelled at any time, as by ``asyncio.timeout`` round an ``async for``, and another go on: what was
        not read is kept. That does not cancel the job.

        Raises:
            JobTimedOut: the job did not end in time.
            SubmitUnknown: the server never acknowledged it.
            EventsDropped: more came than is kept for a reader; a new call continues after the gap.
        """
        while True:
            over = self._over  # read first: events come before the end
            events = self._events
            while events:
                yield events.popleft()
            if over:
                break
            await self._change(Deadline.never(), lambda: bool(self._events) or self._over)
        if isinstance(self._error, JobTimedOut | SubmitUnknown):
            self.exception()  # asyncio need not report it: it is raised here
            raise self._error

    def cancel(self, msg: Any | None = None) -> bool:
        """Give the job up: awaiting it raises `asyncio.CancelledError`, and what it holds is released.

        A job that still waits is taken out of the server's queue, by a task of the client, if its server answers; a running
        one runs on. One that was submitted with a unique id of the caller's stays on the server: others may wait for
        it. ``await client.admin.cancel(await job.job())`` removes it nevertheless.

        Returns:
            False if it is done already.
        """
        if not asyncio.Future.cancel(self, msg):
            return False
        self._give_up(self._cancellation())
        self._owner.forget(self)
        if self.sent and self._follows and not self._verify:
            self._owner.withdraw(self)
        return True

    # What the submission calls.

    def _changed(self) -> None:
        waiters = self._waiters
        if waiters:
            self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _finished(self) -> None:
        self._owner.ended(self)
        self._data = b""  # the session keeps what has no end, as a job that timed out, until its connection ends
        if not self.done():
            if self._succeeded:
                self._succeed()
            elif self._error is None and not self._follows:
                self.set_result(b"")  # type: ignore[arg-type]  # no result is empty, whatever R is
            else:
                self.set_exception(self._failure())
        if self._waiters:
            self._changed()

    def _succeed(self) -> None:
        codec = self._codec
        if codec.raw:
            self.set_result(self._payload)  # type: ignore[arg-type]  # R is bytes then
            return
        try:
            self.set_result(codec.decode(self._payload))
        except UndecodableResult as error:
            self.set_exception(error)

    def _again(self, timeout: Duration | None) -> bytes:  # noqa: ARG002 - see Submission
        raise GearpoolError("retry() would block the event loop: submit the job again with await client.submit_job(…)")

    async def _change(self, limit: Deadline, changed: Callable[[], bool]) -> bool:
        """Until ``changed()``, or the limit; which of the two."""
        try:
            async with asyncio.timeout(limit.timeout()):
                while not changed():
                    waiter: asyncio.Future[None] = self._owner.loop.create_future()
                    if self._waiters is None:
                        self._waiters = set()
                    self._waiters.add(waiter)
                    try:
                        await waiter
                    finally:
                        if self._waiters is not None:
                            self._waiters.discard(waiter)
        except TimeoutError:
            return changed()
        return True


class AsyncRequest(Request):
    """A request whose answer a coroutine waits for."""

    _waiter: asyncio.Future[None] | None = None

    def _changed(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def ask(self, deadline: Deadline) -> list[bytes] | None:
        """The arguments of the answer; None when the deadline came first.

        Raises:
            ServerError: the server answered ERROR.
            ConnectionLost: the connection ended first.
        """
        if not self.settled():
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(deadline.timeout()):
                    await self._waiter
            except TimeoutError:
                pass
            finally:
                self._waiter = None
        return self.outcome()
