"""What a caller asks for, turned into the bytes of a submission. Floor 3; pure.

Everything is checked here, before anything is sent, because gearmand answers some mistakes with silence.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypedDict

from gearpool.client.results import Event
from gearpool.errors import InvalidArgument
from gearpool.protocol.names import function_name, unique_id
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.timing import Duration, seconds_of

Priority = Literal["low", "normal", "high"]
Payload = bytes | bytearray | memoryview | str | None
When = float | dt.datetime

_KINDS: dict[tuple[bool, str], PacketType] = {
    (False, "high"): PacketType.SUBMIT_JOB_HIGH,
    (False, "normal"): PacketType.SUBMIT_JOB,
    (False, "low"): PacketType.SUBMIT_JOB_LOW,
    (True, "high"): PacketType.SUBMIT_JOB_HIGH_BG,
    (True, "normal"): PacketType.SUBMIT_JOB_BG,
    (True, "low"): PacketType.SUBMIT_JOB_LOW_BG,
}

_MOST_EPOCH = 2**53  # what the embedded server takes; gearmand 1.1.20 answers up to 2**62 and beyond with silence

_pack_header = struct.Struct(">4sII").pack


class SubmitOptions(TypedDict, total=False):
    """The options that all overloads of ``submit`` and ``submit_job`` have; each method tells what they mean."""

    priority: Priority | None
    unique: str | bytes | None
    timeout: Duration | None
    retry: int
    reducer: str | bytes | None
    on_event: Callable[[Event], object] | None


class BackgroundOptions(TypedDict, total=False):
    """Likewise, of ``submit_background_job``."""

    priority: Priority | None
    unique: str | bytes | None
    at: When | None
    delay: Duration | None
    reducer: str | bytes | None
    timeout: Duration | None


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for, apart from the payload and the unique id: many jobs share one.

    Attributes:
        function: checked name.
        kind: the SUBMIT packet.
        middle: the arguments between the unique id and the payload, each with its NUL.
    """

    function: bytes
    kind: PacketType
    background: bool
    middle: bytes = b""

    def encode(self, unique: bytes, data: bytes) -> bytes:
        """The submission as bytes."""
        head = self.function + b"\0" + unique + b"\0" + self.middle
        return _pack_header(REQUEST_MAGIC, self.kind, len(head) + len(data)) + head + data


def make_order(
    function: str | bytes,
    *,
    background: bool = False,
    priority: Priority | None = None,
    at: When | None = None,
    delay: Duration | None = None,
    reducer: str | bytes | None = None,
) -> Order:
    """Check and combine the options of a submission.

    Args:
        function: its name.
        background: no client waits for it.
        priority: None is normal.
        at: not before then: seconds since the epoch, or an aware datetime. Background jobs only.
        delay: likewise, from now: seconds or a timedelta.
        reducer: the reduce function's name (SUBMIT_REDUCE_JOB).

    Raises:
        InvalidArgument: a value is wrong, or two do not go together.
    """
    name = function_name(function)
    if priority not in (None, "low", "normal", "high"):
        raise InvalidArgument(f'priority must be "high", "normal" or "low", got {priority!r}')
    kind, middle = _KINDS[background, priority or "normal"], b""
    if at is not None or delay is not None:
        if not background:
            raise InvalidArgument("only background jobs can be given a time (at, delay)")
        if priority not in (None, "normal") or reducer is not None:
            raise InvalidArgument("a job with a time (at, delay) has neither a priority nor a reducer")
        kind, middle = PacketType.SUBMIT_JOB_EPOCH, b"%d\0" % _epoch(at, delay)
    elif reducer is not None:
        if priority not in (None, "normal"):
            raise InvalidArgument("a job with a reducer has no priority")
        kind = PacketType.SUBMIT_REDUCE_JOB_BACKGROUND if background else PacketType.SUBMIT_REDUCE_JOB
        middle = function_name(reducer) + b"\0\0"
    return Order(name, kind, background, middle)


def checked_unique(value: str | bytes | None) -> bytes:
    """The caller's unique id; empty for none.

    Raises:
        InvalidArgument: see `gearpool.protocol.names.unique_id`.
    """
    return b"" if value is None else unique_id(value)


def check_retry(retry: int, *, has_unique: bool) -> None:
    """Whether a submission may be repeated.

    Raises:
        InvalidArgument: it has no unique id; or that is no number of times.
    """
    if isinstance(retry, bool) or not isinstance(retry, int) or retry < 0:
        raise InvalidArgument(f"retry must be a whole number of at least 0, got {retry!r}")
    if retry and not has_unique:
        raise InvalidArgument("retry needs a unique id: without one a job could run twice")


def _epoch(at: When | None, delay: Duration | None) -> int:
    if at is not None and delay is not None:
        raise InvalidArgument("give at or delay, not both")
    if delay is not None:
        seconds = time.time() + seconds_of(delay, "delay")
    elif isinstance(at, dt.datetime):
        if at.tzinfo is None:
            raise InvalidArgument("at needs a datetime with a time zone")
        seconds = at.timestamp()
    elif at is None or (isinstance(at, int | float) and not isinstance(at, bool)):
        try:
            seconds = float(at or 0)
        except OverflowError:
            seconds = math.inf
    else:
        raise InvalidArgument(f"at is a datetime or seconds since 1970, got {at!r}")
    if not math.isfinite(seconds) or not 0 <= seconds <= _MOST_EPOCH:
        raise InvalidArgument(f"the job's time {seconds} is not a time since 1970")
    return math.ceil(seconds)
