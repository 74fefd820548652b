"""A job as its handler sees it, what a handler may raise, and what may be raised in a handler. Floor 1; pure.

Nothing here knows a socket or a greenlet: a `Job` reports through the `Reporter` it was given.
"""

from __future__ import annotations

import enum
import logging
import math
import time
from collections.abc import MutableMapping
from typing import Any, ClassVar, NamedTuple, Protocol

from gearpool.errors import InvalidArgument
from gearpool.protocol.names import MAX_UNIQUE, text

MAX_STATUS = 2**31 - 1
"""The largest numerator or denominator: gearmand reads them as 32 bit signed integers."""


class Skip(Exception):
    """Raised by a handler: the job counts as done, with ``result`` (cl-gearman's skip-job)."""

    def __init__(self, result: bytes | str | None = b"") -> None:
        super().__init__(result)
        # Checked here, not where it is caught, so that the traceback shows the handler's own line.
        self.result: bytes = b"" if result is None else _payload("Skip", result)


class Abort(Exception):
    """Raised by a handler: fail the job, whatever `on_error` is (cl-gearman's abort-job)."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason: str = reason if isinstance(reason, str) else _printed(reason)


class Retry(Exception):
    """Raised by a handler: run it again under the same handle, ``delay`` seconds later (default: as configured)."""

    def __init__(self, delay: float | None = None) -> None:
        super().__init__(delay)
        if delay is not None and not (isinstance(delay, int | float) and 0 <= delay < math.inf):
            raise InvalidArgument(f"Retry: delay must be 0 or more seconds, got {delay!r}")
        self.delay = delay


class Interrupt(BaseException):
    """Raised in a handler. A BaseException, so that ``except Exception`` does not swallow it."""


class JobTimeout(Interrupt):
    """The job's `timeout` has expired. Clean up and let it propagate: the handler is killed `timeout_grace` later."""


class Draining(Interrupt):
    """The process is leaving and its drain deadline has passed."""


class Killed(Interrupt):
    """An operator killed the job."""


KILLED = "killed by the operator"
"""The reason reported for a killed job."""


class End(enum.Enum):
    """How one run of a handler ended."""

    RETURNED = "returned"
    RAISED = "raised"
    TIMED_OUT = "timed out"
    DRAINED = "drained"
    KILLED = "killed"


class Outcome(NamedTuple):
    """One run's end.

    Attributes:
        end: how.
        result: the encoded result if it RETURNED, else empty.
        error: what was raised, else None.
    """

    end: End
    result: bytes = b""
    error: BaseException | None = None


class Reporter(Protocol):
    """Where a running job's reports go: the replies of its session."""

    server: str

    def send_data(self, job: Job, data: bytes) -> None:
        """Queue WORK_DATA."""

    def send_warning(self, job: Job, data: bytes) -> None:
        """Queue WORK_WARNING."""

    def send_status(self, job: Job, numerator: int, denominator: int) -> None:
        """Queue WORK_STATUS; may be throttled."""


class _JobLog(logging.LoggerAdapter[logging.Logger]):
    """Adds handle, function, unique and attempt to every record."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        fields = dict(self.extra or {})
        fields.update(kwargs.get("extra") or {})
        kwargs["extra"] = fields
        return msg, kwargs


class Job:
    """One job, given to a handler as its second argument.

    Attributes:
        function: the function's name.
        argument: the payload as it came.
        attempt: 1 for the first run in this process.
        started: ``time.monotonic()`` when this run began; 0.0 before.
        status: the last (numerator, denominator) it reported, None before; ``status_at`` when it was sent.
    """

    logger: ClassVar[logging.Logger] = logging.getLogger("gearpool.job")
    """Where `log` goes; in the daemon's processes `gearpool.logs` puts one here that no application can silence."""

    __slots__ = (
        "_handle", "_reporter", "_timeout_s", "_unique", "argument", "attempt", "function", "started", "status", "status_at",
    )  # fmt: skip

    def __init__(
        self,
        reporter: Reporter,
        function: str,
        handle: bytes,
        unique: bytes,
        argument: bytes,
        timeout_s: float | None = None,
        attempt: int = 1,
    ) -> None:
        self._reporter = reporter
        self.function: str = function
        self._handle = handle
        self._unique = unique
        self.argument: bytes = argument
        self._timeout_s = timeout_s
        self.attempt: int = attempt
        self.started: float = 0.0
        self.status_at: float = 0.0
        self.status: tuple[int, int] | None = None

    @property
    def handle(self) -> str:
        """The server's name for the job, such as ``H:host:1``."""
        return text(self._handle)

    @property
    def unique(self) -> str:
        """The unique id it was submitted with; empty if none."""
        return text(self._unique)

    @property
    def raw_handle(self) -> bytes:
        """The handle as on the wire."""
        return self._handle

    @property
    def raw_unique(self) -> bytes:
        """The unique id as on the wire."""
        return self._unique

    @property
    def server(self) -> str:
        """``host:port`` of the job server it came from."""
        return self._reporter.server

    @property
    def deadline(self) -> float | None:
        """``time.monotonic()`` at which JobTimeout is raised; None without a limit."""
        if self._timeout_s is None:
            return None
        return (self.started or time.monotonic()) + self._timeout_s

    def set_limit(self, timeout_s: float | None) -> None:
        """For the worker: how long this run may take, counted from `started`."""
        self._timeout_s = timeout_s

    def extend(self, seconds: float) -> None:
        """For the worker: add the seconds for which this run's process was stopped, or blocked by another job."""
        if self._timeout_s is not None:
            self._timeout_s += seconds

    def remaining(self) -> float | None:
        """Seconds until the deadline, never below 0; None without a limit."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry handle, function, unique and attempt."""
        fields = {"handle": self.handle, "function": self.function, "unique": self.unique, "attempt": self.attempt}
        return _JobLog(self.logger, fields)

    def progress(self, done: float, total: float) -> None:
        """Report progress to the client: WORK_STATUS, throttled.

        Args:
            done: how much is done; clamped to 0 … 2³¹−1.
            total: of how much; a total below 1 is not sent at all, since clients divide by it (gearmand's own
                ``gearman`` command dies of SIGFPE).
        """
        if total >= 1:
            # Compared before they are rounded: infinity has no whole number, and NaN fails every comparison.
            done = min(done, MAX_STATUS) if done > 0 else 0
            self._reporter.send_status(self, int(done), int(min(total, MAX_STATUS)))

    def data(self, data: bytes | str) -> None:
        """Send a part of the result: WORK_DATA."""
        self._reporter.send_data(self, _payload("job.data", data))

    def warning(self, data: bytes | str) -> None:
        """Send a warning: WORK_WARNING."""
        self._reporter.send_warning(self, _payload("job.warning", data))

    def __repr__(self) -> str:
        return f"<Job {self.handle} {self.function} attempt {self.attempt}>"


def job_key(handle: bytes, unique: bytes) -> bytes:
    """What identifies a job on its server, through all its runs: its unique id, or its handle if it has none.

    Of the unique id as much as the shared page shows: some servers take longer ones than gearmand does.
    """
    return b"u" + unique[:MAX_UNIQUE] if unique else b"h" + handle


def is_named(job: Job, name: str) -> bool:
    """Whether ``name`` stands for ``job``: its handle, or its server and handle with a slash between."""
    return name in (job.handle, f"{job.server}/{job.handle}")


def known_of(job: Job) -> dict[str, Any]:
    """What logs and operators see of a job, in the order of its fields there."""
    return {
        "function": job.function,
        "handle": job.handle,
        "unique": job.unique,
        "server": job.server,
        "attempt": job.attempt,
    }


def _printed(reason: object) -> str:
    """What a handler passed as text, such as an exception, as a string."""
    if isinstance(reason, bytes):
        return reason.decode("utf-8", "backslashreplace")
    return "" if reason is None else str(reason)


def _payload(what: str, data: bytes | str) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise InvalidArgument(f"{what} takes bytes or str, got {type(data).__name__}")
