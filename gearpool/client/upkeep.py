"""Periodic checks of one connection's calls: time limits, silence, and forgotten jobs. Floor 3; pure.

The reader of a connection calls `Upkeep.tick` every ``step_s`` seconds, after it has read what was there, and sets
``heard`` when bytes arrive. Nothing here waits: requests to be sent are returned, and calls that are over are settled.

Time in which this process did not run (stopped, suspended, or kept busy by a greenlet that does not yield) is not the
server's silence: a tick counts for ``step_s`` at most, however late it comes, and a late one ends no job as long as
there are bytes that have not been read.

A connection may live while a job on it is gone: it was cancelled, or it was coalesced into one that the server discards
because its client has left (`Submission._doubtful`). So the server is asked about jobs now and then, about many in one
write, and never again before it has answered. When it has forgotten one, all that may share its fate are asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gearpool.client.results import number
from gearpool.client.session import Call, Session
from gearpool.client.submission import Submission
from gearpool.protocol.codec import request
from gearpool.protocol.names import text
from gearpool.protocol.packets import PacketType

STEP_S = 1.0
SCAN_S = 0.2
"""How often all jobs under way are checked; less often the more there are."""

JOBS_A_SECOND = 100_000
"""Per this many jobs the pause between two checks is a second longer, so that they take a few per cent at most."""

MAX_ASKED = 250
"""Jobs that are asked about in one write."""

FORGOTTEN = "the server does not know the job any more"


class Due(NamedTuple):
    """What a tick found.

    Attributes:
        silent: the server has left a request unanswered for too long: give this connection nothing new.
        calls: to be sent now, with ``data``.
    """

    silent: bool = False
    calls: list[Call] = []  # noqa: RUF012 - never changed
    data: bytes = b""


class Upkeep:
    """Checks the calls of one session periodically.

    Args:
        session: whose calls.
        server: ``host:port``, as submissions know it.
        request_timeout: seconds of silence after which a request counts as unanswered.
        now: the monotonic clock's time.
        on_left: called with (server, reason, submissions) when the server has forgotten these; they are out of the session.

    Attributes:
        step_s: seconds between two ticks.
        heard: set it when bytes have come.
    """

    def __init__(
        self,
        session: Session,
        server: str,
        request_timeout: float,
        now: float,
        on_left: Callable[[str, str, list[Call]], None],
    ) -> None:
        self.step_s: float = max(0.01, min(STEP_S, request_timeout / 4))
        self.heard: bool = False
        self._session = session
        self._server = server
        self._request_timeout = request_timeout
        self._on_left = on_left
        self._ticked_at = now
        self._quiet_s = 0.0
        self._look_at = now
        self._unanswered = 0
        self._forgotten: list[Call] = []
        self._suspicious = False

    def tick(self, now: float, *, drained: bool) -> Due:
        """Some time has passed.

        Args:
            now: the monotonic clock's time.
            drained: there was nothing to read just now.
        """
        passed = now - self._ticked_at
        self._ticked_at = now
        silent = self._is_silent(passed)
        if now < self._look_at or (passed > 2 * self.step_s and not drained):
            return Due(silent)
        return self._look(now, silent)

    def _is_silent(self, passed: float) -> bool:
        pending = self._session.pending
        if self.heard or not pending:
            self.heard = False
            self._quiet_s = 0.0
            return False
        self._quiet_s += min(passed, self.step_s)
        if self._quiet_s < self._request_timeout:
            return False
        for call in pending.copy():
            if isinstance(call, Submission) and not call._over:
                call._settle(call._unacknowledged())
        return True

    def _look(self, now: float, silent: bool) -> Due:
        session = self._session
        due: list[tuple[bytes, list[Submission]]] = []
        jobs = session.under_way()
        for handle, calls in jobs:
            waiting: list[Submission] = []
            ask = False
            for call in calls:
                if not isinstance(call, Submission):
                    continue
                if call._deadline.at <= now:
                    call._expire()
                    session.abandon(handle, call)
                    continue
                waiting.append(call)
                ask = ask or call._check_due(now) or (self._suspicious and call._doubtful)
            if ask:
                due.append((handle, waiting))
        for call in session.pending.copy():
            if isinstance(call, Submission) and call._deadline.at <= now:
                call._expire()
        self._look_at = now + SCAN_S + len(jobs) / JOBS_A_SECOND
        if not due or self._unanswered or silent:
            return Due(silent)
        if not self._suspicious:
            del due[MAX_ASKED:]
        self._suspicious = False
        self._unanswered = len(due)
        checks: list[Call] = []
        for handle, submissions in due:
            checks.append(_Check(self, handle, submissions))
            for submission in submissions:
                submission._checked(now)
        return Due(silent, checks, b"".join([request(PacketType.GET_STATUS, handle) for handle, _ in due]))

    def checked(self, handle: bytes, calls: list[Submission], *, known: bool) -> None:
        """The server has answered what it knows of these."""
        self._unanswered -= 1
        if not known:
            name = text(handle)
            gone = [call for call in calls if call._runs_as(self._server, name)]
            for call in gone:
                self._session.forget(handle, call)
            self._forgotten.extend(gone)
        if not self._unanswered and self._forgotten:
            forgotten, self._forgotten = self._forgotten, []
            self._suspicious = True
            self._look_at = 0.0
            self._on_left(self._server, FORGOTTEN, forgotten)


class _Check(Call):
    """One GET_STATUS."""

    __slots__ = ("_calls", "_handle", "_upkeep")
    _answer = PacketType.STATUS_RES

    def __init__(self, upkeep: Upkeep, handle: bytes, calls: list[Submission]) -> None:
        self._upkeep = upkeep
        self._handle = handle
        self._calls = calls

    def _answered(self, kind: PacketType, arguments: list[bytes]) -> None:
        """STATUS_RES; an ERROR is no information."""
        known = kind is PacketType.ERROR or number(arguments[1]) != 0
        self._upkeep.checked(self._handle, self._calls, known=known)
