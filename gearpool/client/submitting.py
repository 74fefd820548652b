"""The submitting half of `Client`. Floor 3.

Arguments are checked before anything is sent; waiting is up to the future.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Unpack, overload

from gearpool.client.dispatch import Dispatch
from gearpool.client.events import ignore
from gearpool.client.futures import JobFuture
from gearpool.client.orders import (
    BackgroundOptions,
    Payload,
    Priority,
    SubmitOptions,
    When,
    check_retry,
    checked_unique,
    make_order,
)
from gearpool.client.payloads import Codec, R, codec_of
from gearpool.client.results import Event, JobHandle
from gearpool.client.submission import UNSET
from gearpool.settings import PayloadKind
from gearpool.timing import Duration


class Submitting(Generic[R]):
    """Submits jobs through a dispatch. Users make a `gearpool.Client`."""

    def __init__(self, dispatch: Dispatch, codec: Codec) -> None:
        self._dispatch = dispatch
        self._codec = codec

    @overload
    def submit_job(
        self, function: str | bytes, data: R | Payload = None, *, payload: None = None, **options: Unpack[SubmitOptions]
    ) -> R: ...

    @overload
    def submit_job(
        self, function: str | bytes, data: Any = None, *, payload: PayloadKind, **options: Unpack[SubmitOptions]
    ) -> Any: ...

    def submit_job(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: PayloadKind | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> Any:
        """Submit a job and wait for its result.

        Args:
            function: its name, at most 255 bytes.
            data: the payload: bytes, text (sent as UTF-8) or None; any JSON value with ``payload="json"``.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes. Jobs of one function with the same id are one job while it waits or runs.
            timeout: seconds, or a timedelta, until JobTimedOut; None for ever; the client's ``job_timeout`` if not given.
            retry: how many times it may be submitted again when the connection is lost. Needs ``unique``, under which
                the server recognises a job that it still has. A job that had ended just then runs again.
            reducer: name of the reduce function.
            payload: "bytes", "text" or "json"; the client's if not given. The result is read alike.
            on_event: called with each Data, Warned and Progress, in the reader's thread; see `JobFuture.add_done_callback`.

        Raises:
            JobFailed: WORK_FAIL. ``error.retry()`` submits it again, ``error.accept(value)`` settles for a value.
            JobException: WORK_EXCEPTION, with ``payload``.
            JobTimedOut: it did not end in time; it may still run.
            TimedOut: ``timeout`` was over before a server could be reached.
            NoServersAvailable: no server could be reached.
            SubmitUnknown: it was sent and never acknowledged: it may or may not exist.
            ConnectionLost: the connection broke while it ran.
            ServerError: the server refused it.
            UndecodableResult: it ended well, but its result is not of this kind of payload.
            InvalidArgument: a value cannot be sent.
            UsageError: the client is closed, or this is one of its callbacks.
        """
        self._dispatch.check_may_wait()
        return self._submit(
            function, data, priority, unique, timeout, retry, reducer, payload, on_event or ignore
        ).result()

    @overload
    def submit(
        self, function: str | bytes, data: R | Payload = None, *, payload: None = None, **options: Unpack[SubmitOptions]
    ) -> JobFuture[R]: ...

    @overload
    def submit(
        self, function: str | bytes, data: Any = None, *, payload: PayloadKind, **options: Unpack[SubmitOptions]
    ) -> JobFuture[Any]: ...

    def submit(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        payload: PayloadKind | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> JobFuture[Any]:
        """Submit a job and return; any number may be under way on one connection. See `submit_job`.

        Raises:
            NoServersAvailable: no server could be reached.
            TimedOut: ``timeout`` was over before a server could be reached.
            InvalidArgument: a value cannot be sent.
            UsageError: the client is closed.
        """
        return self._submit(function, data, priority, unique, timeout, retry, reducer, payload, on_event)

    @overload
    def submit_background_job(
        self,
        function: str | bytes,
        data: R | Payload = None,
        *,
        payload: None = None,
        **options: Unpack[BackgroundOptions],
    ) -> JobHandle: ...

    @overload
    def submit_background_job(
        self, function: str | bytes, data: Any = None, *, payload: PayloadKind, **options: Unpack[BackgroundOptions]
    ) -> JobHandle: ...

    def submit_background_job(
        self,
        function: str | bytes,
        data: Any = None,
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: Duration | None = None,
        reducer: str | bytes | None = None,
        payload: PayloadKind | None = None,
        timeout: Duration | None = UNSET,
    ) -> JobHandle:
        """Hand a job to a server and return when the server has it.

        Args:
            function: its name.
            data: the payload, as for `submit_job`.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes; a fresh one is made if none is given, for servers with a persistent queue need it.
            at: run it not before then: seconds since 1970, or an aware datetime.
            delay: likewise, from now: seconds or a timedelta.
            reducer: name of the reduce function.
            payload: "bytes", "text" or "json"; the client's if not given.
            timeout: seconds, or a timedelta, for connecting and for the server's acknowledgement together; the client's
                ``request_timeout`` if not given.

        Raises:
            SubmitUnknown: no acknowledgement came: the job may or may not exist. Submitting it again under the same
                ``unique`` is safe while it waits or runs.
            ServerError: refused; QUEUE_ERROR means that the queue is full.
            NoServersAvailable: no server could be reached.
            TimedOut: there was no connection in time.
            InvalidArgument: a value cannot be sent.
            UsageError: the client is closed, or this is one of its callbacks.
        """
        order = make_order(function, background=True, priority=priority, at=at, delay=delay, reducer=reducer)
        dispatch = self._dispatch
        dispatch.check_open()
        dispatch.check_may_wait()
        key = checked_unique(unique) or dispatch.fresh_unique()
        codec = codec_of(payload, self._codec)
        limit = dispatch.request_deadline(timeout)
        future: JobFuture[Any] = JobFuture(dispatch, order, key, codec.encode(data), limit, codec)
        dispatch.send([future])
        return future._accepted_by(limit, distrust=timeout is UNSET)

    def _submit(
        self,
        function: str | bytes,
        data: Any,
        priority: Priority | None,
        unique: str | bytes | None,
        timeout: Duration | None,
        retry: int,
        reducer: str | bytes | None,
        payload: PayloadKind | None,
        on_event: Callable[[Event], object] | None,
    ) -> JobFuture[Any]:
        order = make_order(function, priority=priority, reducer=reducer)
        key = checked_unique(unique)
        check_retry(retry, has_unique=bool(key))
        self._dispatch.check_open()
        codec = codec_of(payload, self._codec)
        future: JobFuture[Any] = JobFuture(
            self._dispatch,
            order,
            key,
            codec.encode(data),
            self._dispatch.job_deadline(timeout),
            codec,
            retries=retry,
            verify=bool(key),
            on_event=on_event,
        )
        self._dispatch.send([future])
        return future
