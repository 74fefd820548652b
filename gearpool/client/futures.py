"""A submitted job, to be waited for. Floor 3.

Law: the reader thread only stores what came and wakes; deciding, asking again and raising is done by whoever waits. One
is made for each job, so it holds little and allocates nothing until it is looked at.

While someone waits, the server is asked now and then whether it still knows the job: a connection may live while the
job is gone (cancelled; or coalesced into one that a leaving client had already discarded, see `JobFuture.pause`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gearpool.client.orders import Order
from gearpool.client.results import Data, Event, JobHandle, Progress, Warned, number
from gearpool.client.waiting import Waitable
from gearpool.errors import (
    ConnectionLost,
    GearpoolError,
    InvalidArgument,
    JobException,
    JobFailed,
    JobTimedOut,
    ServerError,
    SubmitUnknown,
)
from gearpool.protocol.names import text
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline

if TYPE_CHECKING:
    from gearpool.client.dispatch import Dispatch

UNSET: Any = object()
"""An argument not given, where None means "no limit"."""

CHECK_S = 15.0
CHECK_SOON_S = 1.0
CHECK_MOST_S = 30.0

_COMPLETE = PacketType.WORK_COMPLETE


class JobFuture(Waitable):
    """One submission. Made by `Client.submit`.

    Attributes:
        function: the function's name.
        server: ``host:port`` of the server it went to last.
        sent: it was given to a connection.
        retries: how many times it may yet be submitted again after a lost connection.
    """

    # What most jobs never change stays in the class: making a future is a good part of what a job costs.
    answer = PacketType.JOB_CREATED
    server = ""
    sent = False
    _on_event: Callable[[Event], None] | None = None
    _events: deque[Event] | None = None
    _callbacks: list[Callable[[JobFuture], None]] | None = None
    _handle = b""
    _kind: PacketType | None = None
    _payload = b""
    _error: GearpoolError | None = None
    _since = 0.0
    _tries = 0

    def __init__(
        self,
        dispatch: Dispatch,
        order: Order,
        unique: bytes,
        data: bytes,
        deadline: Deadline,
        *,
        retries: int = 0,
        verify: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._dispatch = dispatch
        self._order = order
        self._unique = unique
        self._data = data
        self._deadline = deadline
        self._verify = verify
        self.follows = not order.background
        self.retries = retries
        if on_event is not None:
            self._on_event = on_event

    def __repr__(self) -> str:
        state = "done" if self.done() else "under way" if self._handle else "submitted"
        return f"<JobFuture {self.function} {self.handle or ''} {state}>"

    @property
    def function(self) -> str:
        """The function's name."""
        return text(self._order.function)

    @property
    def unique(self) -> str:
        """The unique id, may be empty."""
        return text(self._unique)

    @property
    def handle(self) -> str | None:
        """The server's name for the job; None until the server has acknowledged it."""
        return text(self._handle) if self._handle else None

    def done(self) -> bool:
        """It has ended: well, badly, or unknown. A background job is done when it is acknowledged."""
        return self._kind is not None or self._error is not None

    def job(self, timeout: float | None = UNSET) -> JobHandle:
        """Wait until the server has accepted it.

        Args:
            timeout: seconds; None for no limit; the client's ``request_timeout`` if not given.

        Raises:
            ServerError: the server refused it; QUEUE_ERROR means full.
            SubmitUnknown: no answer came, or the connection broke first.
        """
        limit = Deadline.after(self._dispatch.request_timeout if timeout is UNSET else timeout)
        self._wait(self._acknowledged, limit)
        if not self._handle:
            if self._error is None and timeout is UNSET:
                # The server may talk of other jobs all the time: then `check` does not find it silent.
                self._dispatch.distrust(self.server)
            raise self._error or self._unacknowledged()
        return JobHandle(text(self._handle), self.server, self.function, self.unique)

    def result(self, timeout: float | None = UNSET) -> bytes:
        """Wait for the result.

        Args:
            timeout: seconds from now; None for no limit; the time given at submission if not given.

        Raises:
            JobFailed: WORK_FAIL; its ``retry()`` submits again.
            JobException: WORK_EXCEPTION; likewise.
            JobTimedOut: it did not end in time. It may still run.
            SubmitUnknown: the server never acknowledged it.
            ConnectionLost: the connection broke while it ran.
            ServerError: the server refused it.
            NoServersAvailable: it was to be submitted again, and no server was left.
        """
        if self._order.background:
            raise InvalidArgument("a background job has no result; ask get_job_status")
        limit = self._deadline if timeout is UNSET else Deadline.after(timeout)
        if self._kind is not _COMPLETE:
            self._wait(self.done, limit)
            if self._kind is not _COMPLETE:
                raise self._failure()
        return self._payload

    def exception(self, timeout: float | None = UNSET) -> GearpoolError | None:
        """Wait, and return what `result` would raise; None if it ended well."""
        try:
            self.result(timeout)
        except GearpoolError as error:
            return error
        return None

    def events(self, timeout: float | None = UNSET) -> Iterator[Event]:
        """What the worker sends while the job runs, each once, until the job has ended; then ask `result`.

        Parts of the result and warnings are kept until they are read here; of statuses only the last unread one.

        Raises:
            JobTimedOut: the job did not end in time.
            SubmitUnknown: the server never acknowledged it.
        """
        limit = self._deadline if timeout is UNSET else Deadline.after(timeout)
        while True:
            over = self.done()  # looked at first: events come before the end
            events = self._events
            while events:
                yield events.popleft()
            if over:
                return
            self._wait(lambda: bool(self._events) or self.done(), limit)
            if not self._events and not self.done():
                raise self._failure()

    def add_done_callback(self, callback: Callable[[JobFuture], None]) -> None:
        """Call ``callback(self)`` once it is done, at once if it is. It runs in the reader's thread: be quick."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)
        if self.done():
            self._call_back()

    # What the session tells, in the reader's thread.

    def answered(self, kind: PacketType, arguments: list[bytes]) -> None:
        """JOB_CREATED, or ERROR."""
        if kind is PacketType.ERROR:
            self.settle(ServerError(text(arguments[0]), text(arguments[1])))
            return
        self._handle = arguments[0]
        if not self.follows:
            self._kind = kind
            self._data = b""  # a background job is never sent again
            if self._callbacks:
                self._call_back()
        if self._waiters:
            self.wake()

    def told(self, kind: PacketType, arguments: list[bytes]) -> None:
        """WORK_DATA, WORK_WARNING, WORK_STATUS."""
        event: Event
        if kind is PacketType.WORK_STATUS:
            event = Progress(number(arguments[1]), number(arguments[2]))
        elif kind is PacketType.WORK_DATA:
            event = Data(arguments[1])
        else:
            event = Warned(arguments[1])
        if self._on_event is not None:
            self._on_event(event)
            return
        events = self._events
        if events is None:
            events = self._events = deque()
        elif kind is PacketType.WORK_STATUS:
            try:
                if isinstance(events[-1], Progress):
                    events.pop()
            except IndexError:
                pass  # read meanwhile
        events.append(event)
        self.wake()

    def ended(self, kind: PacketType, payload: bytes) -> None:
        """WORK_COMPLETE, WORK_FAIL, WORK_EXCEPTION."""
        self._payload = payload
        self._kind = kind
        if self._waiters:
            self.wake()
        if self._callbacks:
            self._call_back()

    def settle(self, error: GearpoolError) -> None:
        """It ends here with this error."""
        self._error = error
        self.wake()
        if self._callbacks:
            self._call_back()

    def lost(self, server: str, reason: str) -> None:
        """The connection ended under it."""
        lost = ConnectionLost if self._handle else SubmitUnknown
        self.settle(lost(server, reason))

    # For the client.

    def departs(self, server: str) -> bytes:
        """It goes to ``server`` now: the bytes to send."""
        self.server = server
        self._handle = b""
        self._since = time.monotonic()
        self._tries += 1
        return self._order.encode(self._unique, self._data)

    @property
    def route(self) -> tuple[bytes, bytes]:
        """What the server is chosen by."""
        return self._order.function, self._unique

    @property
    def since(self) -> float:
        """When it went out last, on the monotonic clock."""
        return self._since

    @property
    def deadline(self) -> Deadline:
        """Until when it is waited for."""
        return self._deadline

    def _call_back(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def _acknowledged(self) -> bool:
        return bool(self._handle) or self._error is not None

    def _unacknowledged(self) -> SubmitUnknown:
        return SubmitUnknown(self.server, "the submission was not acknowledged in time")

    def _failure(self) -> GearpoolError:
        if self._error is not None:
            return self._error
        handle, function, server = self.handle or "", self.function, self.server
        if self._kind is PacketType.WORK_FAIL:
            failure = JobFailed(
                f"job {server}/{handle} ({function}) failed", handle=handle, function=function, server=server
            )
            failure.again = self._again
            return failure
        if self._kind is PacketType.WORK_EXCEPTION:
            exception = JobException(
                f"job {server}/{handle} ({function}) failed: {self._payload[:200].decode('utf-8', 'replace')}",
                self._payload,
                handle=handle,
                function=function,
                server=server,
            )
            exception.again = self._again
            return exception
        if not self._handle:
            return self._unacknowledged()
        return JobTimedOut(f"job {server}/{handle} ({function}) did not end in time; it may still run", handle)

    def _again(self, timeout: float | None) -> bytes:
        return self._dispatch.again(self._order, self._unique, self._data, timeout)

    @property
    def tries(self) -> int:
        """How many times it has been sent."""
        return self._tries

    @property
    def doubtful(self) -> bool:
        """It may have been coalesced into a job that the server has discarded and will never report on.

        That is so for what was submitted under an id that others may use, and for what was submitted again.
        """
        return self._verify or self._tries > 1

    def runs_as(self, server: str, handle: str) -> bool:
        """It has not ended, and this is what it is called now."""
        return not self.done() and self.handle == handle and self.server == server

    def pause(self, checks: int) -> float:
        """Seconds that a waiter lets pass, having asked ``checks`` times, before it asks the server again."""
        # Asked about soon, if it may never end; others only as a sign of life.
        first = CHECK_SOON_S if self.doubtful else CHECK_S
        pause = float(min(first * 2**checks, CHECK_MOST_S))
        return pause if self._handle else min(pause, self._dispatch.silence(self))

    def check(self) -> None:
        """Ask the server whether it still knows the job; the future is settled if not."""
        self._dispatch.check(self)

    def _wait(self, changed: Callable[[], bool], limit: Deadline) -> None:
        checks = 0
        self._dispatch.after_fork()
        while not changed():
            pause = Deadline.after(self.pause(checks))
            if self.wait(changed, pause.earlier(limit)):
                return
            if limit.expired() and (self._handle or self._dispatch.silence(self) > 0):
                return
            # Also at the very end, if the server has left the submission unanswered: the next goes another way then.
            self.check()
            checks += 1
