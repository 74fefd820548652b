"""A submitted job, waited for by threads (or greenlets of a monkey-patched process). Floor 3.

Law: the reader thread only stores what came and wakes; deciding, asking again and raising is done by whoever waits. One
is made for each job, so it holds little and allocates nothing until it is looked at.

While someone waits, the server is asked now and then whether it still knows the job: a connection may live while the
job is gone (cancelled; or coalesced into one that a leaving client had already discarded, see `Submission.doubtful`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gearpool.client.orders import Order
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET, Submission
from gearpool.client.waiting import Waitable
from gearpool.errors import GearpoolError, InvalidArgument
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

    _callbacks: list[Callable[[JobFuture], None]] | None = None

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
            # The server may talk of other jobs all the time: then `check` does not find it silent.
            self._dispatch.distrust(self.server)
        return self.accepted()

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
        if not self.succeeded:
            self._wait(self.done, limit)
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
                raise self.failure()

    def add_done_callback(self, callback: Callable[[JobFuture], None]) -> None:
        """Call ``callback(self)`` once it is done, at once if it is. It runs in the reader's thread: be quick."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)
        if self.done():
            self._call_back()

    # What the submission calls, in the reader's thread.

    def _changed(self) -> None:
        if self._waiters:
            self.wake()

    def _finished(self) -> None:
        if self._waiters:
            self.wake()
        if self._callbacks:
            self._call_back()

    def _call_back(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def _again(self, timeout: float | None) -> bytes:
        return self._dispatch.again(self._order, self._unique, self._data, timeout)

    def check(self) -> None:
        """Ask the server whether it still knows the job; the future is settled if not."""
        self._dispatch.check(self)

    def _wait(self, changed: Callable[[], bool], limit: Deadline) -> None:
        checks = 0
        self._dispatch.after_fork()
        while not changed():
            pause = Deadline.after(self.pause(checks, 0.0 if self._handle else self._dispatch.silence(self)))
            if self.wait(changed, pause.earlier(limit)):
                return
            if limit.expired() and (self._handle or self._dispatch.silence(self) > 0):
                return
            # Also at the very end, if the server has left the submission unanswered: the next goes another way then.
            self.check()
            checks += 1
