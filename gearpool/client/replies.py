"""Replies of the servers' text protocol: assembled, interpreted and collected, for both clients. Floor 3; pure."""

from __future__ import annotations

import contextlib
from typing import TypeVar

from gearpool.errors import (
    ConnectFailed,
    ConnectionLost,
    GearpoolError,
    InvalidArgument,
    NoServersAvailable,
    RemoteProtocolError,
    TimedOut,
)
from gearpool.net.reasons import describe
from gearpool.protocol import admin as wire
from gearpool.protocol.admin import Command
from gearpool.protocol.names import function_name

_T = TypeVar("_T")


class Replies(dict[str, _T]):
    """What each server (``host:port``) answered.

    Attributes:
        failures: the servers that did not answer, and why.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, GearpoolError] = {}


class Reading:
    """Puts the reply to a command together.

    Args:
        command: what was asked.
        server: whom.
        max_reply: the longest list in bytes that is read.
    """

    def __init__(self, command: Command, server: str, max_reply: int = wire.MAX_REPLY) -> None:
        self._command = command
        self._server = server
        self._max_reply = max_reply
        self._received = bytearray()

    def reply(self, data: bytes) -> bytes | None:
        """The whole reply, once ``data`` (empty at the end of the connection) completes it.

        Raises:
            ConnectionLost: the server closed the connection instead.
            RemoteProtocolError: that is no text, or has no end.
        """
        if not data:
            raise ConnectionLost(self._server, "closed by the server")
        received = self._received
        received += data
        if received[:1] == b"\0":
            raise RemoteProtocolError(f"{self._server} answers the text protocol with binary packets")
        # The end of a reply is at the end of what was received.
        try:
            size = wire.reply_size(self._command, received, self._max_reply)
        except RemoteProtocolError as error:
            raise RemoteProtocolError(f"{self._server}: {error}") from None
        return bytes(received[:size]) if size else None

    def failed(self, error: OSError) -> GearpoolError:
        """What it means that sending or receiving failed so; a TimeoutError: nothing came."""
        if isinstance(error, TimeoutError):
            return TimedOut(f"{self._server} did not answer {self._command.value} in time")
        return ConnectionLost(self._server, describe(error))


def collect(names: list[str], answers: dict[str, _T], failures: dict[str, GearpoolError]) -> Replies[_T]:
    """What was answered, in the order of ``names``.

    Raises:
        NoServersAvailable: no server could be reached.
        GearpoolError: none answered, and the first one's failure was another.
    """
    if not answers:
        errors = list(failures.values())
        if all(isinstance(error, ConnectFailed) for error in errors):
            reasons = {name: getattr(error, "reason", str(error)) for name, error in failures.items()}
            raise NoServersAvailable(reasons) from errors[0]
        if isinstance(errors[0], RemoteProtocolError) and names[0] not in str(errors[0]):
            raise RemoteProtocolError(f"{names[0]}: {errors[0]}") from errors[0]
        raise errors[0]
    replies: Replies[_T] = Replies()
    for name in names:
        if name in answers:
            replies[name] = answers[name]
        else:
            replies.failures[name] = failures[name]
    return replies


def queue_limits(limits: int | tuple[int, int, int] | None) -> list[bytes]:
    """The words of ``maxqueue``.

    Raises:
        InvalidArgument: one is no number that servers take.
    """
    numbers = (limits or 0,) if isinstance(limits, int | None) else tuple(limits)
    if any(not isinstance(number, int) or not 0 <= number < 2**31 for number in numbers):
        raise InvalidArgument(f"a queue limit is a number from 0 to {2**31 - 1}, got {limits!r}")
    return [b"%d" % number for number in numbers]


def was_cancelled(reply: bytes) -> bool:
    """Whether the server knew the job that it was to cancel."""
    if reply == wire.NO_SUCH_JOB:
        return False
    wire.parse_ok(reply)
    return True


def check_empty(status: bytes, name: bytes, server: str) -> None:
    """Whether a function may be dropped, by the reply to ``status``.

    Raises:
        GearpoolError: it has jobs.
    """
    for row in wire.parse_status(status):
        if function_name(row.function) == name and row.total:
            raise GearpoolError(
                f"{server}: {row.function} has {row.total} jobs ({row.running} running); dropping it would lose "
                "them: let them finish first"
            )


def parse_pid(reply: bytes) -> int:
    """The reply to ``getpid``.

    Raises:
        RemoteProtocolError: that is no number.
    """
    value = wire.parse_ok(reply)
    with contextlib.suppress(ValueError):
        return int(value)
    raise RemoteProtocolError(f"not a process id: {value!r}")
