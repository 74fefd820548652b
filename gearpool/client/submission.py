"""One submitted job and what is known about it, for both clients. Floor 3; pure: no thread, no loop, no clock.

The session stores here what arrives, and calls `_changed` or `_finished`; the shell's subclass decides how a waiter is
notified (`futures.JobFuture` in threads, `aio.jobs.AsyncJob` in asyncio). The rules that both shells share are here:
what an end means, which error it raises, and when a server is asked whether it still knows the job.

One is made for each job, so it holds little: what most jobs never change stays in the class.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from gearpool.client.events import UnreadEvents, ignore
from gearpool.client.orders import Order
from gearpool.client.results import Data, Event, JobHandle, Progress, Warned, number
from gearpool.client.session import Call
from gearpool.client.states import CallState
from gearpool.errors import (
    ConnectionLost,
    GearpoolError,
    JobCancelled,
    JobException,
    JobFailed,
    JobTimedOut,
    ServerError,
    SubmitUnknown,
)
from gearpool.protocol.names import text
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline, Duration, exponential, jittered

_log = logging.getLogger("gearpool.client")
_T = TypeVar("_T")

UNSET: Any = object()
"""An argument not given, where None means "no limit"."""

CHECK_S = 15.0
CHECK_SOON_S = 1.0
CHECK_MOST_S = 30.0

_COMPLETE = PacketType.WORK_COMPLETE


class Submission(Call):
    """One submission of a job.

    Args:
        order: what is asked for.
        unique: the unique id, may be empty.
        data: the payload.
        deadline: until when it is waited for.
        retries: how many times it may be submitted again after a lost connection.
        verify: it may be coalesced into another's job; see `_doubtful`.
        on_event: called with each event instead of keeping it; `events.ignore` if they cannot be read.

    Attributes:
        server: ``host:port`` of the server it went to last.
        sent: it was given to a connection.
        retries: how many times it may yet be submitted again.
    """

    _answer = PacketType.JOB_CREATED
    server: str = ""
    sent: bool = False
    retries: int = 0
    _on_event: Callable[[Event], object] | None = None
    _events: UnreadEvents | None = None
    _complained = False
    _handle = b""
    _kind: PacketType | None = None
    _payload = b""
    _error: GearpoolError | None = None
    _since = 0.0
    _tries = 0
    _checks = 0
    _check_at = 0.0

    def __init__(
        self,
        order: Order,
        unique: bytes,
        data: bytes,
        deadline: Deadline,
        *,
        retries: int = 0,
        verify: bool = False,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
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

    # For the shell.

    def _changed(self) -> None:
        """It was acknowledged, or an event came."""

    def _finished(self) -> None:
        """It is over; called once."""

    @staticmethod
    def _ends_the_program(error: BaseException) -> bool:
        """Whether what a callback raised is to be passed on; here as asyncio does it."""
        return isinstance(error, KeyboardInterrupt | SystemExit)

    def _again(self, timeout: Duration | None) -> bytes:
        """Submit the same job again and wait for its result; what ``JobFailed.retry`` does."""
        raise NotImplementedError

    # What users read.

    @property
    def function(self) -> str:
        """The function's name."""
        return text(self._order.function)

    @property
    def unique(self) -> str:
        """The unique id, may be empty."""
        return text(self._unique)

    @property
    def handle(self) -> str | None:
        """The server's name for the job; None until the server has acknowledged it."""
        return text(self._handle) if self._handle else None

    # Called by the session.

    def _answered(self, kind: PacketType, arguments: list[bytes]) -> None:
        """JOB_CREATED, or ERROR."""
        if kind is PacketType.ERROR:
            self._settle(ServerError(text(arguments[0]), text(arguments[1])))
            return
        self._handle = arguments[0]
        if self._error is not None:
            self._changed()
            return  # given up meanwhile; the handle is still worth knowing
        if self._follows:
            self._changed()
        else:
            self._kind = kind
            self._data = b""  # a background job is never sent again
            self._finished()

    def _told(self, kind: PacketType, arguments: list[bytes]) -> None:
        """WORK_DATA, WORK_WARNING, WORK_STATUS."""
        if self._on_event is ignore or self._error is not None:
            return
        event: Event
        if kind is PacketType.WORK_STATUS:
            event = Progress(number(arguments[1]), number(arguments[2]))
        elif kind is PacketType.WORK_DATA:
            event = Data(arguments[1])
        else:
            event = Warned(arguments[1])
        if self._on_event is not None:
            self._call_back("on_event", self._on_event, event)
            return
        events = self._events
        if events is None:
            events = self._events = UnreadEvents()
        events.put(event)
        self._changed()

    def _call_back(
        self,
        what: str,
        callback: Callable[[_T], object],
        argument: _T,
        survives: type[BaseException] | None = None,
    ) -> None:
        """Call a function of the user's: what it raises is logged, once a job, and the job continues."""
        caught = survives or BaseException
        try:
            callback(argument)
        except caught as error:
            if self._ends_the_program(error):
                raise
            if not self._complained:
                self._complained = True
                _log.exception(
                    "%s of job %s/%s (%s) raised an exception", what, self.server, self.handle, self.function
                )

    def _ended(self, kind: PacketType, payload: bytes) -> None:
        """WORK_COMPLETE, WORK_FAIL, WORK_EXCEPTION."""
        if self._error is not None:
            return  # given up meanwhile
        self._payload = payload
        self._kind = kind
        self._finished()

    def _settle(self, error: GearpoolError) -> None:
        """It ends here with this error, unless it has ended already."""
        if not self._over:
            self._error = error
            self._finished()

    def _expire(self) -> None:
        """Its time limit has passed: it is forgotten here, but for its handle. On the server it may still wait or run."""
        self._give_up(self._failure())

    def _give_up(self, error: GearpoolError) -> None:
        """It is no longer waited for: it ends with this error, and what it holds is released."""
        if not self._over:
            self.retries = 0
            self._settle(error)
            self._data = b""
            self._events = None

    def _lost(self, server: str, reason: str) -> None:
        """The connection ended under it."""
        lost = ConnectionLost if self._handle else SubmitUnknown
        self._settle(lost(server, reason))

    # Used by the sender, and to ask about it.

    def _departs(self, server: str, now: float) -> bytes:
        """It goes to ``server`` now: the bytes to send."""
        self.server = server
        self._handle = b""
        self._since = now
        self._check_at = 0.0
        self._checks = 0
        self._tries += 1
        return self._order.encode(self._unique, self._data)

    @property
    def _route(self) -> tuple[bytes, bytes]:
        """What the server is chosen by."""
        return self._order.function, self._unique

    @property
    def _over(self) -> bool:
        """It has ended: with success, with a failure, or unknown. A background job ends when it is acknowledged."""
        return self._kind is not None or self._error is not None

    @property
    def _acknowledged(self) -> bool:
        """The server has answered the submission, or never will."""
        return bool(self._handle) or self._error is not None

    @property
    def _doubtful(self) -> bool:
        """It may have been coalesced into a job that the server has discarded and will never report on.

        That is so for what was submitted under an id that others may use, and for what was submitted again.
        """
        return self._verify or self._tries > 1

    def _runs_as(self, server: str, handle: str) -> bool:
        """It has not ended, and this is what it is called now."""
        return not self._over and self.handle == handle and self.server == server

    def _check_due(self, now: float) -> bool:
        """Whether the server is to be asked about it again."""
        if not self._check_at:
            self._check_at = self._since + self._first_check_s
        return now >= self._check_at

    def _checked(self, now: float) -> None:
        """It is asked about now."""
        self._checks += 1
        self._check_at = now + exponential(self._checks + 1, self._first_check_s, 2.0, CHECK_MOST_S)

    @property
    def _first_check_s(self) -> float:
        # Soon, if it may never end; others only as a sign of life.
        return CHECK_SOON_S if self._doubtful else CHECK_S

    def _accepted(self) -> JobHandle:
        """What the server calls it, once it is acknowledged.

        Raises:
            ServerError: the server refused it.
            SubmitUnknown: the server has not answered.
        """
        if not self._handle:
            raise self._error or self._unacknowledged()
        return JobHandle(text(self._handle), self.server, self.function, self.unique)

    def _unacknowledged(self) -> SubmitUnknown:
        """The error when no answer to the submission came in time."""
        return SubmitUnknown(self.server, "the submission was not acknowledged in time")

    @property
    def _succeeded(self) -> bool:
        """WORK_COMPLETE came."""
        return self._kind is _COMPLETE

    @property
    def _call_state(self) -> CallState:
        """See `states.CALL`."""
        if self._error is not None:
            return CallState.GIVEN_UP
        if self._kind is not None:
            return CallState.DONE if self._kind in (_COMPLETE, PacketType.JOB_CREATED) else CallState.FAILED
        return CallState.ACCEPTED if self._handle else CallState.SUBMITTED

    def _described(self) -> str:
        """Function, server, handle and state."""
        state = type(self._error).__name__ if self._error is not None else self._call_state.value
        return f"{self.function} {self.server}/{self.handle or '?'} {state}"

    def _failure(self) -> GearpoolError:
        """Why there is no result: how the job ended, or that it has not."""
        if self._error is not None:
            return self._error
        failure: JobFailed | JobException
        if self._kind is PacketType.WORK_FAIL:
            failure = JobFailed(f"{self._job} failed", **self._about)
        elif self._kind is PacketType.WORK_EXCEPTION:
            reason = self._payload[:200].decode("utf-8", "replace")
            failure = JobException(f"{self._job} failed: {reason}", self._payload, **self._about)
        elif self._handle:
            return JobTimedOut(f"{self._job} did not end in time; it may still run", **self._about)
        else:
            return self._unacknowledged()
        failure.again = self._again
        return failure

    def _cancellation(self) -> JobCancelled:
        """The error of a job that its caller gives up now."""
        return JobCancelled(f"{self._described()}: given up by its caller", **self._about)

    @property
    def _job(self) -> str:
        return f"job {self.server}/{self.handle or ''} ({self.function})"

    @property
    def _about(self) -> dict[str, str]:
        return {"handle": self.handle or "", "function": self.function, "server": self.server}


def resubmission_pause(tries: int) -> float:
    """Seconds to wait before a submission that was sent ``tries`` times is sent again after a lost connection."""
    # A server that takes connections and ends them at once would use up all retries in a moment.
    return 0.0 if tries <= 1 else jittered(exponential(tries - 1, 0.05, 2.0, 2.0), 0.5)
