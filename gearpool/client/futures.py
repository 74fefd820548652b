"""A submitted job, waited for by threads (or greenlets of a monkey-patched process). Floor 3.

Law: the reader's thread stores what came and wakes; raising is done by whoever waits. One is made for each job, so it
holds little and allocates nothing until it is looked at. What ends without an answer (a time that is over, a server that
is silent, a job that it has forgotten) is found by the reader's `upkeep`, or at its very moment by whoever waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gearpool.client.orders import Order
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET, Submission
from gearpool.client.waiting import Waitable
from gearpool.errors import GearpoolError, InvalidArgument, JobTimedOut, SubmitUnknown
from gearpool.timing import Deadline

if TYPE_CHECKING:
    from gearpool.client.dispatch import Dispatch


class JobFuture(Submission, Waitable):
    """One submission. Made by `Client.submit`.

    Attributes:
        function: the function's name.
        server: ``host:port`` of the server it went to last.
        sent: it was given to a connection.
        retries: how many times it may yet be submitted again after a lost connection.
    """

    # Nothing that a callback raises in the reader's thread, even SystemExit, may end the other jobs of the connection.
    _survives = BaseException
    _callbacks: deque[Callable[[JobFuture], object]] | None = None

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
        super().__init__(order, unique, data, deadline, retries=retries, verify=verify, on_event=on_event)
        self._dispatch = dispatch

    def __repr__(self) -> str:
        state = "done" if self.done() else "under way" if self._handle else "submitted"
        return f"<JobFuture {self.function} {self.handle or ''} {state}>"

    def done(self) -> bool:
        """It has ended: well, badly, or unknown. A background job is done when it is acknowledged."""
        return self.over

    def job(self, timeout: float | None = UNSET) -> JobHandle:
        """Wait until the server has accepted it.

        Args:
            timeout: seconds; None for no limit; the client's ``request_timeout`` if not given.

        Raises:
            ServerError: the server refused it; QUEUE_ERROR means full.
            SubmitUnknown: no answer came, or the connection broke first.
        """
        limit = Deadline.after(self._dispatch.request_timeout if timeout is UNSET else timeout)
        self._wait(lambda: self.acknowledged, limit)
        if not self.acknowledged and timeout is UNSET:
            # The server may talk of other jobs all the time: then it is not silent, and only this answer is missing.
            self._dispatch.distrust(self)
        return self.accepted()

    def result(self, timeout: float | None = UNSET) -> bytes:
        """Wait for the result.

        Args:
            timeout: seconds from now; None for no limit. If not given, the time given at submission: when that is over the
                job is forgotten here, and the future is done. A longer time here lengthens that time.

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
        if not self.succeeded:
            limit = None if timeout is UNSET else Deadline.after(timeout)
            if limit is not None and limit.at > self._deadline.at:
                self._deadline = limit
            self._wait_or_expire(self.done, limit)
            if not self.succeeded:
                raise self.failure()
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
            EventsDropped: more came than is kept for a reader; a new call of this goes on after what is missing.
        """
        limit = None if timeout is UNSET else Deadline.after(timeout)
        while True:
            over = self.done()  # looked at first: events come before the end
            while events := self._events:
                yield events.popleft()
                if (limit or self._deadline).expired():
                    break  # a worker that never stops sending does not outrun the limit
            if over and not self._events:
                if isinstance(self._error, JobTimedOut | SubmitUnknown):
                    raise self._error
                return
            self._wait_or_expire(lambda: bool(self._events) or self.done(), limit)
            if not self.done() and (limit or self._deadline).expired():
                raise self.failure()

    def add_done_callback(self, callback: Callable[[JobFuture], object]) -> None:
        """Call ``callback(self)`` once it is done, at once if it is.

        It runs in the thread that reads for this client: be quick. What it raises is logged.
        """
        callbacks: deque[Callable[[JobFuture], object]] = self.__dict__.setdefault("_callbacks", deque())
        callbacks.append(callback)
        if self.done():
            self._run_callbacks(Exception)  # this thread is the caller's: an interrupt goes through

    # What the submission calls, in the reader's thread.

    def _changed(self) -> None:
        if self._waiters:
            self.wake()

    def _finished(self) -> None:
        if self._waiters:
            self.wake()
        if self._callbacks:
            self._run_callbacks()

    def _run_callbacks(self, survives: type[BaseException] | None = None) -> None:
        # The reader and whoever adds one may both come here: each callback is taken by one of them.
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.popleft()
            except IndexError:
                return
            self._call_back("a callback", callback, self, survives)

    def _again(self, timeout: float | None) -> bytes:
        return self._dispatch.again(self._order, self._unique, self._data, timeout)

    def settle(self, error: GearpoolError) -> None:
        """See `Submission.settle`."""
        # In one step: whoever waits and the reader may both find that its time is over.
        if self._kind is None and self.__dict__.setdefault("_error", error) is error:
            self._finished()

    def expire(self) -> None:
        """See `Submission.expire`."""
        super().expire()
        self._dispatch.forget(self)

    def _wait_or_expire(self, changed: Callable[[], bool], limit: Deadline | None) -> None:
        """Wait until then, or for as long as the job may take; when that time is over, so is the job."""
        if limit is not None:
            self._wait(changed, limit)
            return
        self._wait(changed, self._deadline)
        if not self.done() and self._deadline.expired():
            self.expire()

    def _wait(self, changed: Callable[[], bool], limit: Deadline) -> None:
        self._dispatch.after_fork()
        self.wait(changed, limit)
