"""What the client returns: handles, statuses and the events of a running job. Floor 3; pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gearpool.protocol.names import text


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job that a server has accepted. ``str()`` gives ``server/handle``, which every asking call understands.

    Attributes:
        handle: the server's name for the job, such as ``H:mail:17``. It is unique on that server until it restarts.
        server: ``host:port`` of the server.
        function: the function's name.
        unique: its unique id; generated for a background job that was given none.
    """

    handle: str
    server: str
    function: str = ""
    unique: str = ""

    def __str__(self) -> str:
        """``server/handle``, fit for scripts."""
        return f"{self.server}/{self.handle}"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a server knows of a job. All false and zero: it is finished, was lost, or never was.

    Attributes:
        handle: the handle, or the unique id when that was asked about.
        is_known: it waits or runs.
        is_running: a worker has it.
        progress: done share as the worker reports it (numerator by denominator); None when there is no denominator.
        numerator: as the worker reported it.
        denominator: as the worker reported it.
        clients: how many clients wait for it; None unless a unique id was asked about.
        server: ``host:port`` of the server that answered.
    """

    handle: str
    is_known: bool
    is_running: bool
    progress: float | None
    numerator: int = 0
    denominator: int = 0
    clients: int | None = None
    server: str = ""


class Data(NamedTuple):
    """WORK_DATA: a part of the result, sent while the job runs."""

    data: bytes


class Warned(NamedTuple):
    """WORK_WARNING: a message for the waiting client."""

    data: bytes


class Progress(NamedTuple):
    """WORK_STATUS. ``share`` is None when the worker gave no denominator."""

    numerator: int
    denominator: int

    @property
    def share(self) -> float | None:
        """Numerator by denominator."""
        return self.numerator / self.denominator if self.denominator else None


Event = Data | Warned | Progress


def number(raw: bytes) -> int:
    """A count from the wire. Servers forward whatever a worker wrote: what is no number counts as 0."""
    try:
        return int(float(raw.rstrip(b"\0")))
    except (ValueError, OverflowError):
        return 0


def status_of(answer: list[bytes], server: str) -> JobStatus:
    """What STATUS_RES, or STATUS_RES_UNIQUE with its sixth argument, says."""
    numerator, denominator = number(answer[3]), number(answer[4])
    return JobStatus(
        handle=text(answer[0]),
        is_known=number(answer[1]) != 0,
        is_running=number(answer[2]) != 0,
        progress=numerator / denominator if denominator else None,
        numerator=numerator,
        denominator=denominator,
        clients=number(answer[5]) if len(answer) > 5 else None,
        server=server,
    )
