"""What the dispatches of both clients have in common: time limits, unique ids, and how answers are judged. Floor 3; pure."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

from gearpool.client.defaults import ClientSettings
from gearpool.client.results import JobStatus
from gearpool.client.submission import UNSET
from gearpool.errors import NoServersAvailable
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline, Duration

Kinds = tuple[PacketType, PacketType]
"""A request and its answer."""

BY_HANDLE: Kinds = PacketType.GET_STATUS, PacketType.STATUS_RES
BY_UNIQUE: Kinds = PacketType.GET_STATUS_UNIQUE, PacketType.STATUS_RES_UNIQUE


class Dispatching:
    """The base of both dispatches.

    Attributes:
        names: the servers, in the order given.
        request_timeout: seconds for a request to be answered.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.names: list[str] = [str(server) for server in settings.servers]
        self.request_timeout: float = settings.request_timeout
        self._settings = settings
        self._pid = 0
        """The process to which the connections belong; 0 before there are any."""

    def _begin(self) -> None:
        """This process uses it now: its unique ids are its own."""
        self._pid = os.getpid()
        # Random once a client, then counted: as unique as a random id each time, at a tenth of the cost.
        self._prefix = os.urandom(12).hex().encode()
        self._count = itertools.count()

    def fresh_unique(self) -> bytes:
        """A unique id that nobody else has."""
        return self._prefix + b"-%x" % next(self._count)

    def job_deadline(self, timeout: Duration | None) -> Deadline:
        """Until when a job is waited for, given what its caller said."""
        return Deadline.allowed(self._settings.job_timeout if timeout is UNSET else timeout)

    def request_deadline(self, timeout: Duration | None) -> Deadline:
        """Until when an answer is waited for, given what its caller said."""
        return Deadline.allowed(self.request_timeout if timeout is UNSET else timeout)


def first_known(answers: Sequence[JobStatus | BaseException]) -> JobStatus:
    """What the first of several servers says that knows the job; if none does, what the first one says.

    Raises:
        NoServersAvailable: none knows it, and one could not be asked, which may be the one that does.
        GearpoolError: likewise, of one that could be reached and did not answer.
    """
    statuses = [answer for answer in answers if isinstance(answer, JobStatus)]
    for status in statuses:
        if status.is_known:
            return status
    reasons: dict[str, str] = {}
    for answer in answers:
        if isinstance(answer, NoServersAvailable):
            reasons.update(answer.reasons)
        elif isinstance(answer, BaseException):
            raise answer
    if reasons:
        raise NoServersAvailable(reasons)
    return statuses[0]
