"""Every error gearpool raises, in one tree. Floor 0: imports nothing of gearpool.

Callers branch on classes and attributes, never on texts::

    GearpoolError
    ├── ConfigurationError        the file, an option or the environment is wrong (exit 78)
    ├── InvalidArgument           a value given to the library cannot be sent (also a ValueError)
    ├── UsageError                an object is closed, or used where it cannot work (also a RuntimeError)
    ├── ProtocolError             the bytes are not Gearman
    │   ├── LocalProtocolError    we were about to send something malformed
    │   └── RemoteProtocolError   the peer sent something malformed; the connection is useless now
    ├── ServerError               the server answered ERROR: .code, .text
    ├── ConnectFailed             one server could not be reached: .server, .reason
    ├── NoServersAvailable        no job server could be reached (exit 69): .reasons
    ├── ConnectionLost            the connection broke; what was under way is unknown: .server
    │   └── SubmitUnknown         a submission was sent and never acknowledged
    ├── TimedOut                  no answer in time (exit 75; also a TimeoutError)
    │   └── JobTimedOut           the job did not end in time; it may still run: .handle
    ├── JobCancelled              the caller gave the job up: .handle, .function, .server
    ├── EventsDropped             more events were unread than are kept: .dropped, .limit
    ├── UndecodableResult         the result is not JSON or text, as it should be (also a ValueError): .payload
    └── JobError                  a job ended badly: .handle, .function, .server
        ├── JobFailed             WORK_FAIL (exit 1)
        └── JobException          WORK_EXCEPTION: .payload
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar


class GearpoolError(Exception):
    """The root: ``except GearpoolError`` catches whatever gearpool raises on purpose.

    Every error survives pickle (a process pool sends it to its caller so), copy and deepcopy, with its text and its
    attributes; what only lives in one process (`JobError.again`) stays with copies and is left out of pickles.
    """

    _of_this_process: ClassVar[tuple[str, ...]] = ()
    index: int | None = None
    """Of many submissions, the one concerned, counted from 0; None where there is one only."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Restored without its constructor, whose arguments are not those that ``Exception`` keeps."""
        state = {name: value for name, value in self.__dict__.items() if name not in self._of_this_process}
        return _made_anew, (type(self), self.args), state

    def __copy__(self) -> Self:
        made = _made_anew(type(self), self.args)
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = _made_anew(type(self), copy.deepcopy(self.args, memo))
        for name, value in self.__dict__.items():
            made.__dict__[name] = value if name in self._of_this_process else copy.deepcopy(value, memo)
        return made


_Error = TypeVar("_Error", bound=GearpoolError)


def _made_anew(kind: type[_Error], arguments: tuple[Any, ...]) -> _Error:
    error = kind.__new__(kind)
    error.args = arguments
    return error


class ConfigurationError(GearpoolError):
    """The configuration cannot be used. ``problems`` holds one line for each thing that is wrong."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidArgument(GearpoolError, ValueError):
    """A function name, unique id or other value cannot be put on the wire."""


class UsageError(GearpoolError, RuntimeError):
    """An object is used in a way that cannot work: after it was closed, or from a thread that it is not bound to."""


class ProtocolError(GearpoolError):
    """Bytes that are not Gearman."""


class LocalProtocolError(ProtocolError):
    """We were asked to send something the protocol cannot carry."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something malformed. The stream cannot be resynchronised: close it.

    Attributes:
        packets: the good packets that came before it in the same buffer, still to be served.
    """

    def __init__(self, message: str, packets: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.packets = packets


class ServerError(GearpoolError):
    """The job server answered ERROR.

    Attributes:
        code: the server's code, such as ``INVALID_COMMAND`` or ``QUEUE_ERROR``.
        text: its explanation, may be empty.
    """

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text


class ConnectFailed(GearpoolError):
    """One job server could not be reached, or is none. ``reason`` is a line for the operator, without the address."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"cannot connect to {server}: {reason}")
        self.server = server
        self.reason = reason


class NoServersAvailable(GearpoolError):
    """No job server could be reached. ``reasons`` maps each server's address to why."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons: dict[str, str] = dict(reasons)
        detail = "; ".join(f"{server}: {reason}" for server, reason in self.reasons.items())
        super().__init__(f"no job server available ({detail})" if detail else "no job server available")


class ConnectionLost(GearpoolError):
    """The connection to ``server`` broke while an answer was awaited."""

    def __init__(self, server: str, reason: str = "") -> None:
        super().__init__(f"connection to {server} lost: {reason}" if reason else f"connection to {server} lost")
        self.server = server
        self.reason = reason


class SubmitUnknown(ConnectionLost):
    """A submission was sent but never acknowledged: the job may or may not exist on ``server``."""


class TimedOut(GearpoolError, TimeoutError):
    """No answer within the time allowed."""


class JobTimedOut(TimedOut):
    """A job did not end within the time its caller allowed. The worker may still run it.

    Attributes:
        handle: the server's name for it; with ``server`` it can still be asked about and cancelled
            (``client.admin.cancel(f"{error.server}/{error.handle}")``).
        function: the function's name.
        server: ``host:port`` of the server that has it.
    """

    def __init__(self, message: str, handle: str = "", *, function: str = "", server: str = "") -> None:
        super().__init__(message)
        self.handle = handle
        self.function = function
        self.server = server


class JobCancelled(GearpoolError):
    """`JobFuture.cancel` gave the job up.

    Attributes:
        handle: the server's name for it; empty if it was not yet acknowledged.
        function: the function's name.
        server: ``host:port`` of the server it went to.
    """

    def __init__(self, message: str, *, handle: str = "", function: str = "", server: str = "") -> None:
        super().__init__(message)
        self.handle = handle
        self.function = function
        self.server = server


class EventsDropped(GearpoolError):
    """A job sent more than was read: here events are missing. Its result is not; reading may continue.

    Attributes:
        dropped: how many are missing.
        limit: bytes of unread events that are kept for a job.
    """

    def __init__(self, dropped: int, limit: int) -> None:
        super().__init__(f"{dropped} events are missing here: more than {limit} bytes of this job's were unread")
        self.dropped = dropped
        self.limit = limit


class UndecodableResult(GearpoolError, ValueError):
    """The job succeeded, but its result is not what the call expects (``payload="json"`` or ``"text"``).

    Attributes:
        kind: what was expected.
        reason: why it is not that.
        payload: the result as it came.
    """

    def __init__(self, kind: str, reason: str, payload: bytes = b"") -> None:
        super().__init__(f"the result is not {kind}: {reason}; it begins with {payload[:80]!r}")
        self.kind = kind
        self.reason = reason
        self.payload = payload


class JobError(GearpoolError):
    """A job ended, and not well. What to do about it is the caller's choice: `retry`, `accept`, or let it rise."""

    _of_this_process = ("again",)
    again: Callable[[float | dt.timedelta | None], bytes] | None = None
    """Set by the client: submits the job again, waits at most this many seconds (None: no limit), returns the result."""

    def __init__(self, message: str, *, handle: str = "", function: str = "", server: str = "") -> None:
        super().__init__(message)
        self.handle = handle
        self.function = function
        self.server = server

    def retry(self, timeout: float | dt.timedelta | None = 300.0) -> bytes:
        """Submit the same job again and wait for its result, decoded as the first would have been.

        Args:
            timeout: seconds or a timedelta; None for no limit.

        Raises:
            JobError: it failed again.
            GearpoolError: whatever else a submission may raise.
        """
        if self.again is None:
            raise UsageError(
                "this failure was not raised by a client of this process: there is nothing to submit again"
            )
        return self.again(timeout)

    def accept(self, value: bytes = b"") -> bytes:
        """Use ``value`` instead of a result; shows in the code that the failure is expected."""
        return value


class JobFailed(JobError):
    """The worker answered WORK_FAIL."""


class JobException(JobError):
    """The worker answered WORK_EXCEPTION.

    Attributes:
        payload: what the worker sent with it.
    """

    def __init__(
        self, message: str, payload: bytes = b"", *, handle: str = "", function: str = "", server: str = ""
    ) -> None:
        super().__init__(message, handle=handle, function=function, server=server)
        self.payload = payload
