"""The submitting half of `Client`. Floor 3.

Law: what is asked for is checked before anything is sent; waiting is the future's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, overload

from gearpool.client.dispatch import Dispatch
from gearpool.client.events import ignore
from gearpool.client.futures import JobFuture
from gearpool.client.orders import Payload, Priority, When, check_retry, checked_unique, make_order
from gearpool.client.payloads import BYTES
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET
from gearpool.errors import GearpoolError
from gearpool.timing import Deadline

UniqueOf = Callable[[Payload], str | bytes]


class Submitting:
    """Submits jobs through a dispatch. Users make a `gearpool.Client`."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def submit_job(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> bytes:
        """Submit a job and wait for its result.

        Args:
            function: its name, at most 255 bytes.
            data: the payload; a str is sent as UTF-8.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes. Jobs of one function with the same id are one job while it waits or runs.
            timeout: seconds until JobTimedOut; None for ever; the client's ``job_timeout`` if not given.
            retry: how many times it may be submitted again when the connection is lost. Needs ``unique``, under which
                the server recognises a job that it still has. A job that had ended just then runs again.
            reducer: name of the reduce function.
            on_event: called with each Data, Warned and Progress, in the reader's thread.

        Raises:
            JobFailed: WORK_FAIL. ``error.retry()`` submits it again, ``error.accept(value)`` settles for a value.
            JobException: WORK_EXCEPTION, with ``payload``.
            JobTimedOut: it did not end in time; it may still run.
            NoServersAvailable: no server could be reached.
            SubmitUnknown: it was sent and never acknowledged: it may or may not exist.
            ConnectionLost: the connection broke while it ran.
            ServerError: the server refused it.
            InvalidArgument: a value cannot be sent.
        """
        return self.submit(
            function,
            data,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            reducer=reducer,
            on_event=on_event or ignore,
        ).result()

    def submit(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> JobFuture:
        """Submit a job and go on; any number may be under way on one connection. See `submit_job`.

        Raises:
            NoServersAvailable: no server could be reached.
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, priority=priority, reducer=reducer)
        key = checked_unique(unique)
        check_retry(retry, has_unique=bool(key))
        future = JobFuture(
            self._dispatch,
            order,
            key,
            BYTES.encode(data),
            self._dispatch.job_deadline(timeout),
            retries=retry,
            verify=bool(key),
            on_event=on_event,
        )
        self._dispatch.send([future])
        return future

    def submit_background_job(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: float | None = None,
        reducer: str | bytes | None = None,
        timeout: float | None = UNSET,
    ) -> JobHandle:
        """Hand a job to a server and return when the server has it.

        Args:
            function: its name.
            data: the payload.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes; a fresh one is made if none is given, for servers with a persistent queue need it.
            at: run it not before then: seconds since 1970, or an aware datetime.
            delay: likewise, in seconds from now.
            reducer: name of the reduce function.
            timeout: seconds for the server's acknowledgement; the client's ``request_timeout`` if not given.

        Raises:
            SubmitUnknown: no acknowledgement came: the job may or may not exist. Submitting it again under the same
                ``unique`` is safe while it waits or runs.
            ServerError: refused; QUEUE_ERROR means that the queue is full.
            NoServersAvailable: no server could be reached.
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, background=True, priority=priority, at=at, delay=delay, reducer=reducer)
        self._dispatch.after_fork()
        key = checked_unique(unique) or self._dispatch.fresh_unique()
        future = JobFuture(
            self._dispatch, order, key, BYTES.encode(data), Deadline.after(self._dispatch.request_timeout)
        )
        self._dispatch.send([future])
        return future.job(timeout)

    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
    ) -> Iterator[JobHandle]:
        """Hand many jobs to the servers, pipelined; yields their handles in order, at most ``window`` unacknowledged.

        Args:
            function: its name.
            items: payloads; may be endless.
            window: how many submissions are under way at most.
            priority: as for `submit_background_job`.
            unique: gives the unique id for a payload.

        Raises:
            As `submit_background_job`, when the turn of the job concerned has come.
        """
        futures = self.submit_many(function, items, window=window, priority=priority, unique=unique, background=True)
        for future in futures:
            yield future.job()

    def submit_many(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        background: bool = False,
        on_done: Callable[[JobFuture], None] | None = None,
    ) -> Iterator[JobFuture]:
        """One submission an item, many at once; yields the futures in the order of the items, in constant memory.

        Args:
            function: its name.
            items: payloads; may be endless, they are taken as the window moves on.
            window: how many yet unfinished jobs are submitted ahead of the one that is yielded.
            priority: as for `submit_job`.
            unique: gives the unique id for a payload.
            timeout: seconds for each job.
            retry: as for `submit_job`; needs ``unique``.
            background: background jobs, whose futures are done when they are acknowledged.
            on_done: called with each future when it is done, in the reader's thread.

        What cannot be sent, because no server can be reached, is yielded all the same: its future says so.

        Raises:
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, background=background, priority=priority)
        check_retry(retry, has_unique=unique is not None)
        self._dispatch.after_fork()

        def make(item: Payload, deadline: Deadline) -> JobFuture:
            key = checked_unique(unique(item)) if unique is not None else b""
            if background and not key:
                key = self._dispatch.fresh_unique()
            future = JobFuture(
                self._dispatch,
                order,
                key,
                item if type(item) is bytes else BYTES.encode(item),
                deadline,
                retries=retry,
                verify=unique is not None,
            )
            if on_done is not None:
                future.add_done_callback(on_done)
            return future

        return self._dispatch.windowed(items, make, window, timeout)

    @overload
    def map(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: Literal[False] = False,
    ) -> Iterator[bytes]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: Literal[True],
    ) -> Iterator[bytes | GearpoolError]: ...

    def map(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: bool = False,
    ) -> Iterator[bytes | GearpoolError]:
        """One job an item, many at once; yields the results in the order of the items, in constant memory.

        Args:
            function: its name.
            items: payloads; may be endless, they are taken as the window moves on.
            window: how many jobs are under way at most.
            priority: as for `submit_job`.
            unique: gives the unique id for a payload.
            timeout: seconds for each job.
            retry: as for `submit_job`; needs ``unique``.
            return_exceptions: yield errors instead of raising the first one.

        Raises:
            As `submit_job`, when the turn of the job concerned has come.
        """
        futures = self.submit_many(
            function, items, window=window, priority=priority, unique=unique, timeout=timeout, retry=retry
        )
        for future in futures:
            if return_exceptions:
                try:
                    yield future.result()
                except GearpoolError as error:
                    yield error
            else:
                yield future.result()

    @overload
    def gather(
        self, *futures: JobFuture, timeout: float | None = UNSET, return_exceptions: Literal[False] = False
    ) -> list[bytes]: ...

    @overload
    def gather(
        self, *futures: JobFuture, timeout: float | None = UNSET, return_exceptions: Literal[True]
    ) -> list[bytes | GearpoolError]: ...

    def gather(
        self, *futures: JobFuture, timeout: float | None = UNSET, return_exceptions: bool = False
    ) -> list[bytes] | list[bytes | GearpoolError]:
        """The results of several submissions, in order.

        Args:
            futures: what `submit` returned.
            timeout: seconds for all of them together; each one's own time if not given.
            return_exceptions: put errors into the list instead of raising the first one.

        Raises:
            As `JobFuture.result`.
        """
        limit = None if timeout is UNSET else Deadline.after(timeout)
        results: list[bytes | GearpoolError] = []
        for future in futures:
            left = UNSET if limit is None else limit.timeout()
            try:
                results.append(future.result(left))
            except GearpoolError as error:
                if not return_exceptions:
                    raise
                results.append(error)
        return results
