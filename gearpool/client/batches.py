"""Items turned into submissions, a batch at a time. Floor 3; pure.

Submissions made before an error are sent, and yielded before the error is raised, so that no job is lost sight of; the
error has the index of its item. Both clients read their items through this module.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypedDict, TypeVar

from gearpool.client.dispatching import Dispatching
from gearpool.client.orders import Priority, check_retry, checked_unique, make_order
from gearpool.client.payloads import Codec
from gearpool.client.submission import UNSET
from gearpool.errors import GearpoolError, InvalidArgument
from gearpool.timing import Deadline, Duration

_Item = TypeVar("_Item")
_Job = TypeVar("_Job")

UniqueOf = Callable[[Any], str | bytes]
"""Gives the unique id for an item."""


class BatchOptions(TypedDict, total=False):
    """The options that all overloads of ``submit_background_jobs`` have; the method tells what they mean."""

    window: int
    priority: Priority | None
    unique: UniqueOf | None


class BatchJobOptions(BatchOptions, total=False):
    """Likewise, of ``submit_many`` and ``map``."""

    timeout: Duration | None
    retry: int


class MakerOptions(TypedDict, total=False):
    """What `job_makers` is told of a caller's options."""

    priority: Priority | None
    unique: UniqueOf | None
    timeout: Duration | None
    retry: int
    background: bool
    on_done: Callable[[Any], object] | None


CHUNK = 250
"""Submissions that are made and written at once."""


def check_items(items: Any) -> None:
    """Whether this is a collection of payloads.

    Raises:
        InvalidArgument: it is one payload, whose characters or bytes would become jobs.
    """
    if isinstance(items, str | bytes | bytearray | memoryview):
        raise InvalidArgument(f"items must be several payloads, got one {type(items).__name__}; write [item]")


def check_window(window: int) -> None:
    """Check that this many submissions can be under way at once.

    Raises:
        InvalidArgument: it is not a whole number of at least 1.
    """
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise InvalidArgument(f"the window must be a whole number of at least 1, got {window!r}")


def at_item(index: int, error: Exception) -> Exception:
    """The error as it is raised for the item ``index``, counted from 0."""
    if isinstance(error, InvalidArgument):
        told = InvalidArgument(f"item {index}: {error}")
        told.index = index
        told.__cause__ = error
        return told
    if isinstance(error, GearpoolError):
        error.index = index
    error.add_note(f"at item {index} of the items to be submitted")
    return error


def job_makers(
    dispatch: Dispatching,
    new: Callable[..., Any],
    function: str | bytes,
    codec: Codec,
    check_open: Callable[[], object],
    *,
    priority: Priority | None = None,
    unique: UniqueOf | None = None,
    timeout: Duration | None = UNSET,
    retry: int = 0,
    background: bool = False,
    on_done: Callable[[Any], object] | None = None,
) -> tuple[Callable[[], Callable[[Any], Any]], Callable[[GearpoolError], Any]]:
    """How the items of one call become jobs: ``maker`` and ``refused`` for `Batches`.

    Args:
        dispatch: of the client; the first argument of ``new``.
        new: the class of the client's jobs.
        function: its name.
        codec: of the payloads.
        check_open: raises if the client is closed; called when the other arguments are known to be good.
        priority: as for the client's ``submit_many``, like all that follows.
        unique: gives the unique id for an item.
        timeout: of each job.
        retry: needs ``unique``.
        background: whether the jobs are done when they are acknowledged.
        on_done: called with each job when it is done.

    Raises:
        InvalidArgument: of an argument that no item could be submitted with.
    """
    order = make_order(function, background=background, priority=priority)
    check_retry(retry, has_unique=unique is not None)
    encode, raw = codec.encode, codec.raw
    verify = unique is not None and not background
    limit = dispatch.request_timeout if background and timeout is UNSET else timeout
    check_open()
    dispatch.job_deadline(limit)  # raises here if the limit is invalid

    def maker() -> Callable[[Any], Any]:
        deadline = dispatch.job_deadline(limit)  # one for all jobs of a batch

        def make(item: Any) -> Any:
            key = checked_unique(unique(item)) if unique is not None else b""
            if background and not key:
                key = dispatch.fresh_unique()
            data = item if raw and type(item) is bytes else encode(item)
            job = new(dispatch, order, key, data, deadline, codec, retries=retry, verify=verify)
            if on_done is not None:
                job.add_done_callback(on_done)
            return job

        return make

    def refused(error: GearpoolError) -> Any:
        job = new(dispatch, order, b"", b"", Deadline.never(), codec)
        job._settle(error)
        return job

    return maker, refused


class Batches(Generic[_Item, _Job]):
    """Makes submissions of an iterable's items.

    Args:
        items: taken as they are needed; may be endless.
        maker: called for each batch; what it returns makes a submission of an item.
        refused: makes a submission that has ended with an error, in the place of an item that cannot be submitted. None:
            such an item ends the batches, as an error of the iterable always does.

    Attributes:
        taken: how many items were taken.
        exhausted: no more will come.
        failure: why they ended early; to be raised after everything that was made.

    Raises:
        InvalidArgument: ``items`` is a single payload.
        TypeError: it is no iterable.
    """

    def __init__(
        self,
        items: Iterable[_Item],
        maker: Callable[[], Callable[[_Item], _Job]],
        refused: Callable[[GearpoolError], _Job] | None = None,
    ) -> None:
        check_items(items)
        self._items = iter(items)
        self._maker = maker
        self._refused = refused
        self.taken: int = 0
        self.exhausted: bool = False
        self.failure: Exception | None = None

    def next(self, most: int) -> list[_Job]:
        """At most this many submissions, and no more than `CHUNK`; none at the end."""
        made: list[_Job] = []
        if self.exhausted:
            return made
        make = self._maker()
        if self._refused is not None:
            make = self._in_its_place(make, self._refused, made)
        try:
            for item in itertools.islice(self._items, min(most, CHUNK)):
                made.append(make(item))  # noqa: PERF401 - what was made before an error is kept
        except Exception as error:  # noqa: BLE001 - raised later, after the items before it
            self.failure = at_item(self.taken + len(made), error)
            self.exhausted = True
        else:
            self.exhausted = not made
        self.taken += len(made)
        return made

    def _in_its_place(
        self, make: Callable[[_Item], _Job], refused: Callable[[GearpoolError], _Job], made: list[_Job]
    ) -> Callable[[_Item], _Job]:
        def make_or_refuse(item: _Item) -> _Job:
            try:
                return make(item)
            except InvalidArgument as error:
                told = at_item(self.taken + len(made), error)
                assert isinstance(told, GearpoolError)
                return refused(told)

        return make_or_refuse
