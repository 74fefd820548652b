"""The half of `Client` that submits many jobs. Floor 3.

Memory stays constant however many items there are. Jobs that were submitted are given to the caller before an error is
raised, and the error has the index of its item (``error.index``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Unpack, overload

from gearpool.client.batches import Batches, BatchJobOptions, BatchOptions, MakerOptions, UniqueOf, job_makers
from gearpool.client.futures import JobFuture
from gearpool.client.orders import Payload, Priority
from gearpool.client.payloads import R, codec_of
from gearpool.client.results import JobHandle
from gearpool.client.submission import UNSET
from gearpool.client.submitting import Submitting
from gearpool.client.windows import Handles, Window, results
from gearpool.errors import GearpoolError, InvalidArgument
from gearpool.settings import PayloadKind
from gearpool.timing import Deadline, Duration


class SubmittingMany(Submitting[R]):
    """Submits many jobs through a dispatch. Users make a `gearpool.Client`."""

    @overload
    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Iterable[R | Payload],
        *,
        payload: None = None,
        **options: Unpack[BatchOptions],
    ) -> Iterator[JobHandle]: ...

    @overload
    def submit_background_jobs(
        self, function: str | bytes, items: Iterable[Any], *, payload: PayloadKind, **options: Unpack[BatchOptions]
    ) -> Iterator[JobHandle]: ...

    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Iterable[Any],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        payload: PayloadKind | None = None,
    ) -> Iterator[JobHandle]:
        """Hand many jobs to the servers, pipelined; yields their handles in order, at most ``window`` unacknowledged.

        The first ``window`` items are submitted by this call, the others during the iteration; dropping more than a
        window without iterating over it is a RuntimeWarning.

        Args:
            function: its name.
            items: payloads; may be endless.
            window: how many submissions are under way at most.
            priority: as for `submit_background_job`.
            unique: gives the unique id for an item.
            payload: "bytes", "text" or "json"; the client's if not given.

        Raises:
            As `submit_background_job`, when the iteration reaches the job concerned; ``error.index`` is its item. The
            handles of the jobs behind it are had by iterating on. An item that cannot be sent, or an error of ``items``,
            ends the submissions, and is raised after the handles of all before it.
        """
        return Handles(
            self._window(
                "submit_background_jobs",
                function,
                items,
                window=window,
                priority=priority,
                unique=unique,
                payload=payload,
                background=True,
            )
        )

    @overload
    def submit_many(
        self,
        function: str | bytes,
        items: Iterable[R | Payload],
        *,
        background: bool = False,
        payload: None = None,
        on_done: Callable[[JobFuture[Any]], object] | None = None,
        **options: Unpack[BatchJobOptions],
    ) -> Iterator[JobFuture[R]]: ...

    @overload
    def submit_many(
        self,
        function: str | bytes,
        items: Iterable[Any],
        *,
        background: bool = False,
        payload: PayloadKind,
        on_done: Callable[[JobFuture[Any]], object] | None = None,
        **options: Unpack[BatchJobOptions],
    ) -> Iterator[JobFuture[Any]]: ...

    def submit_many(
        self,
        function: str | bytes,
        items: Iterable[Any],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        background: bool = False,
        payload: PayloadKind | None = None,
        on_done: Callable[[JobFuture[Any]], object] | None = None,
    ) -> Iterator[JobFuture[Any]]:
        """One submission an item, many at once; yields the futures in the order of the items, in constant memory.

        The first ``window`` items are submitted by this call, the others during the iteration.

        Args:
            function: its name.
            items: payloads; may be endless, they are taken as the window moves on.
            window: how many yet unfinished jobs are submitted ahead of the one that is yielded.
            priority: as for `submit_job`.
            unique: gives the unique id for an item.
            timeout: for each job, as for `submit_job`.
            retry: as for `submit_job`; needs ``unique``.
            background: background jobs, whose futures are done when they are acknowledged.
            payload: "bytes", "text" or "json"; the client's if not given.
            on_done: called with each future when it is done, in the reader's thread.

        What cannot be sent, because no server can be reached, is yielded, too: its future has failed.

        Raises:
            InvalidArgument: an item cannot be sent, or ``items`` is no collection; ``error.index`` is the item. It is raised
                after the futures of all before it, as is an error of ``items``.
        """
        return self._window(
            "submit_many",
            function,
            items,
            window=window,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            background=background,
            payload=payload,
            on_done=on_done,
        )

    @overload
    def map(
        self,
        function: str | bytes,
        items: Iterable[R | Payload],
        *,
        payload: None = None,
        return_exceptions: Literal[False] = False,
        **options: Unpack[BatchJobOptions],
    ) -> Iterator[R]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Iterable[R | Payload],
        *,
        payload: None = None,
        return_exceptions: Literal[True],
        **options: Unpack[BatchJobOptions],
    ) -> Iterator[R | GearpoolError]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Iterable[Any],
        *,
        payload: PayloadKind,
        return_exceptions: bool = False,
        **options: Unpack[BatchJobOptions],
    ) -> Iterator[Any]: ...

    def map(
        self,
        function: str | bytes,
        items: Iterable[Any],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: Duration | None = UNSET,
        retry: int = 0,
        payload: PayloadKind | None = None,
        return_exceptions: bool = False,
    ) -> Iterator[Any]:
        """One job an item, many at once; yields the results in the order of the items, in constant memory.

        The first ``window`` items are submitted by this call, the others during the iteration.

        Args:
            function: its name.
            items: payloads; may be endless, they are taken as the window moves on.
            window: how many jobs are under way at most.
            priority: as for `submit_job`.
            unique: gives the unique id for an item.
            timeout: for each job, as for `submit_job`.
            retry: as for `submit_job`; needs ``unique``.
            payload: "bytes", "text" or "json"; the client's if not given.
            return_exceptions: yield errors instead of raising the first one, that of an item that cannot be sent, too.

        Raises:
            As `submit_job`, when the iteration reaches the job concerned; ``error.index`` is its item. An error of ``items``
            is raised after the results of all before it.
        """
        futures: Iterator[JobFuture[R]] = self._window(
            "map",
            function,
            items,
            window=window,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            payload=payload,
            keep_places=return_exceptions,
        )
        return results(futures, return_exceptions=return_exceptions)

    @overload
    def gather(
        self, *futures: JobFuture[R], timeout: Duration | None = UNSET, return_exceptions: Literal[False] = False
    ) -> list[R]: ...

    @overload
    def gather(
        self, *futures: JobFuture[R], timeout: Duration | None = UNSET, return_exceptions: Literal[True]
    ) -> list[R | GearpoolError]: ...

    def gather(
        self, *futures: JobFuture[Any], timeout: Duration | None = UNSET, return_exceptions: bool = False
    ) -> list[Any]:
        """The results of several submissions, in order.

        Args:
            futures: what `submit` returned, each an argument of its own.
            timeout: for all of them together, seconds or a timedelta; each one's own time if not given.
            return_exceptions: put errors into the list instead of raising the first one.

        Raises:
            InvalidArgument: an argument is no `JobFuture`.
            GearpoolError: as `JobFuture.result`; ``error.index`` is the future's place.
        """
        for future in futures:
            if not isinstance(future, JobFuture):
                raise InvalidArgument(
                    f"gather takes what submit returned, each as an argument of its own (gather(*futures)), got {future!r}"
                )
        limit = None if timeout is UNSET else Deadline.allowed(timeout)
        gathered: list[Any] = []
        for index, future in enumerate(futures):
            left = UNSET if limit is None else limit.timeout()
            try:
                gathered.append(future.result(left))
            except GearpoolError as error:
                error.index = index
                if not return_exceptions:
                    raise
                gathered.append(error)
        return gathered

    def _window(
        self,
        what: str,
        function: str | bytes,
        items: Iterable[Any],
        *,
        window: int,
        payload: PayloadKind | None = None,
        keep_places: bool = False,
        **options: Unpack[MakerOptions],
    ) -> Window[R]:
        dispatch = self._dispatch
        codec = codec_of(payload, self._codec)
        maker, refused = job_makers(dispatch, JobFuture, function, codec, dispatch.check_open, **options)
        batches = Batches(items, maker, refused if keep_places else None)
        return Window(batches, dispatch.send_or_settle, window, what)
