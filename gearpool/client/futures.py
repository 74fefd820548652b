"""A submitted job, waited for by threads (or greenlets of a monkey-patched process). Floor 3.

The reader's thread stores what arrives and wakes waiters; the waiter raises. One future is made per job, so it holds
little and allocates nothing until it is used. What ends without an answer (an expired time limit, a silent server, a
job that the server has forgotten) is noticed by the reader's `upkeep`, or by the waiter at that moment.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from gearpool.client.orders import Order
from gearpool.client.payloads import Codec, R
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET, Submission
from gearpool.client.waiting import Waitable
from gearpool.errors import GearpoolError, InvalidArgument, JobCancelled, JobTimedOut, SubmitUnknown, UndecodableResult
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline, Duration

_COMPLETE = PacketType.WORK_COMPLETE
_JOB_CREATED = PacketType.JOB_CREATED


class Dispatcher(Protocol):
    """What a future uses of the client that made it."""

    @property
    def reads_here(self) -> bool:
        """The calling thread is one that reads for this client: it runs a callback of the user's."""

    def request_deadline(self, timeout: Duration | None) -> Deadline:
        """Until when an answer is waited for, given what its caller said."""

    def check_may_wait(self) -> None:
        """Raise UsageError in a thread that reads for the client."""

    def after_fork(self) -> None:
        """In a forked child: leave the parent its connections and start with new ones."""

    def distrust(self, future: JobFuture[Any]) -> None:
        """Its answer is missing, and answers come in order: ask nothing more over the connection in use."""

    def forget(self, future: JobFuture[Any]) -> None:
        """It is no longer waited for."""

    def withdraw(self, future: JobFuture[Any]) -> None:
        """Remove a job that is no longer waited for from its server's queue, if that server answers."""

    def again(self, order: Order, unique: bytes, data: bytes, codec: Codec, timeout: Duration | None) -> Any:
        """Submit the same job once more and wait."""


class JobFuture(Submission, Waitable, Future[R]):
    """One submission. Made by `Client.submit`.

    It is a `concurrent.futures.Future`: `concurrent.futures.wait` and `as_completed` take it. It is done when the job has
    ended, when its time is over, and when it is known to be lost.

    Attributes:
        server: ``host:port`` of the server it went to last.
        sent: it was given to a connection.
        retries: how many times it may yet be submitted again after a lost connection.
    """

    _callbacks: deque[Callable[[Any], object]] | None = None
    _observed = False
    """`concurrent.futures` has asked for it."""
    _all_told = False
    """The waiters of `concurrent.futures` were notified of the end."""

    def __init__(
        self,
        dispatch: Dispatcher,
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
        # Written out, not `Submission.__init__`: making a future is a good part of what a job costs. Not that of `Future`:
        # its lock and lists are made when somebody asks for them, see below.
        self._order = order
        self._unique = unique
        self._data = data
        self._deadline = deadline
        self._verify = verify
        self._follows: bool = not order.background
        if retries:
            self.retries = retries
        if on_event is not None:
            self._on_event = on_event
        self._dispatch = dispatch
        self._codec = codec

    def __repr__(self) -> str:
        return f"<JobFuture {self._described()}>"

    def done(self) -> bool:
        """It has ended: well, badly, or unknown. A background job is done when it is acknowledged."""
        return self._over

    def job(self, timeout: Duration | None = UNSET) -> JobHandle:
        """Wait until the server has accepted it.

        Args:
            timeout: seconds; None for no limit; the client's ``request_timeout`` if not given.

        Raises:
            ServerError: the server refused it; QUEUE_ERROR means full.
            SubmitUnknown: no answer came, or the connection broke first.
        """
        return self._accepted_by(self._dispatch.request_deadline(timeout), distrust=timeout is UNSET)

    def _accepted_by(self, limit: Deadline, *, distrust: bool) -> JobHandle:
        """As `job`, until then; ``distrust``: a server that has not answered by then is not asked again."""
        self._wait(lambda: self._acknowledged, limit)
        if not self._acknowledged and distrust:
            # The server may talk of other jobs all the time: then it is not silent, and only this answer is missing.
            self._dispatch.distrust(self)
        return self._accepted()

    def result(self, timeout: Duration | None = UNSET) -> R:
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
            UndecodableResult: the result is not of the kind that ``payload`` named.
            JobCancelled: `cancel` gave it up.
        """
        if self._order.background:
            raise InvalidArgument("a background job has no result; ask get_job_status")
        if self._kind is not _COMPLETE:
            self._wait_for_the_end(timeout)
            if self._kind is not _COMPLETE:
                raise self._failure()
        codec = self._codec
        return self._payload if codec.raw else codec.decode(self._payload)  # type: ignore[return-value]  # R is its kind

    def exception(self, timeout: Duration | None = UNSET) -> GearpoolError | None:
        """Wait, and return what `result` would raise; None if it ended well, or was accepted as a background job.

        Raises:
            InvalidArgument: ``timeout`` is no duration.
        """
        self._wait_for_the_end(timeout)
        if self._order.background:
            return None if self.done() and self._error is None else self._failure()
        if not self._succeeded:
            return self._failure()
        try:
            self._codec.decode(self._payload)
        except UndecodableResult as error:
            return error
        return None

    def _wait_for_the_end(self, timeout: Duration | None) -> None:
        limit = None if timeout is UNSET else Deadline.allowed(timeout)
        if limit is not None and limit.at > self._deadline.at:
            self._deadline = limit
        self._wait_or_expire(self.done, limit)

    def events(self, timeout: Duration | None = UNSET) -> Iterator[Event]:
        """What the worker sends while the job runs, each once, until the job has ended; then ask `result`.

        Parts of the result and warnings are kept until they are read here; of statuses only the last unread one.

        Raises:
            JobTimedOut: the job did not end in time.
            SubmitUnknown: the server never acknowledged it.
            EventsDropped: more came than is kept for a reader; a new call continues after the gap.
        """
        limit = None if timeout is UNSET else Deadline.allowed(timeout)
        while True:
            over = self.done()  # read first: events come before the end
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
                raise self._failure()

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call ``callback(self)`` once it is done, at once if it is.

        It runs in the thread that reads for this client: be quick, and wait for no other job (UsageError). What it raises
        is logged.
        """
        callbacks: deque[Callable[[Any], object]] = self.__dict__.setdefault("_callbacks", deque())
        callbacks.append(callback)
        if self.done():
            self._run_callbacks(Exception)  # this thread is the caller's: an interrupt goes through

    def cancel(self) -> bool:
        """Give the job up: the future is done, with `JobCancelled`, and what it holds is released.

        A job that still waits is taken out of the server's queue, which takes a round trip (``request_timeout`` at most); a
        running one runs on. One that was submitted with a unique id of the caller's stays on the server: others may wait for
        it. ``client.admin.cancel`` removes it nevertheless.

        In a callback of the client's a job that its server has not yet named is given up without being taken out.

        Returns:
            False if it is done already.
        """
        if not self.done() and not self._verify and not self._dispatch.reads_here:
            self._wait(lambda: self._acknowledged, self._dispatch.request_deadline(UNSET))  # only then it has a name
        if self.done():
            return False
        cancelled = self._cancellation()
        self._give_up(cancelled)
        self._dispatch.forget(self)
        if not self._verify:
            self._dispatch.withdraw(self)
        return self._error is cancelled

    def cancelled(self) -> bool:
        """`cancel` gave it up."""
        return isinstance(self._error, JobCancelled)

    def running(self) -> bool:
        """A server has accepted it, and it has not ended. Whether a worker has it, `Client.get_job_status` says."""
        return self._acknowledged and not self.done()

    # Called by the session, in the reader's thread; `Submission` does the same, and this is what each job costs.

    def _answered(self, kind: PacketType, arguments: list[bytes]) -> None:
        """See `Submission._answered`."""
        if self._follows and kind is _JOB_CREATED:
            self._handle = arguments[0]
            if self._locks:
                self._wake()
        else:
            super()._answered(kind, arguments)

    def _ended(self, kind: PacketType, payload: bytes) -> None:
        """See `Submission._ended`."""
        if self._error is None:
            self._payload = payload
            self._kind = kind
            if self._locks or self._callbacks or self._observed:
                self._finished()

    # What the submission calls, in the reader's thread.

    def _changed(self) -> None:
        if self._locks:
            self._wake()

    def _finished(self) -> None:
        if self._locks:
            self._wake()
        if self._callbacks:
            self._run_callbacks()
        if self._observed:
            self._tell_concurrent()

    def _run_callbacks(self, survives: type[BaseException] | None = None) -> None:
        # The reader and a thread that adds one may both come here: each callback is taken by one of them.
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.popleft()
            except IndexError:
                return
            self._call_back("a callback", callback, self, survives)

    @staticmethod
    def _ends_the_program(error: BaseException) -> bool:
        # Nothing that a callback raises in the reader's thread, even SystemExit, may end the other jobs of the connection.
        # But where the reader is a greenlet of the main thread, Ctrl-C may come while a callback runs.
        return isinstance(error, KeyboardInterrupt) and (threading.get_native_id() == threading.main_thread().native_id)

    def _again(self, timeout: Duration | None) -> Any:
        return self._dispatch.again(self._order, self._unique, self._data, self._codec, timeout)

    def _settle(self, error: GearpoolError) -> None:
        """See `Submission._settle`."""
        # In one step: a waiter and the reader may both find that its time is over.
        if self._kind is None and self.__dict__.setdefault("_error", error) is error:
            self._finished()

    def _expire(self) -> None:
        """See `Submission._expire`."""
        super()._expire()
        self._dispatch.forget(self)

    def _wait_or_expire(self, changed: Callable[[], bool], limit: Deadline | None) -> None:
        """Wait until then, or for as long as the job may take; when that time is over, so is the job."""
        if limit is not None:
            self._wait(changed, limit)
            return
        self._wait(changed, self._deadline)
        if not self.done() and self._deadline.expired():
            self._expire()

    def _wait(self, changed: Callable[[], bool], limit: Deadline) -> None:
        self._dispatch.after_fork()
        if not changed() and not limit.expired():
            self._dispatch.check_may_wait()
        self._wait_until(changed, limit)

    # What `concurrent.futures.wait` and `as_completed` use of a future. Most futures are never given to them.

    if not TYPE_CHECKING:  # to type checkers these are the attributes of `Future`
        # Properties, since ``__getattr__`` would make every access to a future slow. ``setdefault`` is one step.

        @property
        def _condition(self):
            self._observed = True
            return self.__dict__.setdefault("_lock_of_waiters", threading.Condition())

        @property
        def _waiters(self):
            return self.__dict__.setdefault("_waiters_together", [])

        @property
        def _state(self):
            if not self.done():
                return "PENDING"
            self._tell_concurrent()
            return "FINISHED"

        def _get_snapshot(self):
            # What `asyncio.wrap_future` asks for from Python 3.14 on: done, cancelled, result and exception at once.
            if not self.done() or self.cancelled():
                return self.done(), self.cancelled(), None, None
            error = self.exception()
            return True, False, None if error or self._order.background else self.result(), error

    def _tell_concurrent(self) -> None:
        # Called by the reader, or earlier by a thread that finds it done and expects all waiters to be notified.
        # Each waiter is notified once.
        with self._condition:
            if not self._all_told:
                self._all_told = True
                for waiter in self._waiters:
                    waiter.add_result(self)
