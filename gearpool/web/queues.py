"""Asks the job servers what they hold, again and again, and keeps the last answers.

Each server is asked in a greenlet of its own and within a time limit, so one that is down or never answers delays no
other. What is kept is bounded: a server can name any number of functions. While a server is down, its last answer
stays in the snapshot with its age; the metrics then have nothing of it but ``gearman_up`` 0, since a stale number would
be taken for a fresh one.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypedDict

import gevent

from gearpool.client import Admin
from gearpool.errors import ConnectFailed, GearpoolError
from gearpool.net.greenlets import modules
from gearpool.protocol.admin import FunctionRow, PriorityRow
from gearpool.settings import ServerSettings
from gearpool.timing import Clock
from gearpool.web import metric_names as names
from gearpool.web.exposition import Family, family

_log = logging.getLogger(__name__)

INTERVAL_S = 5.0
TIMEOUT_S = 5.0
MAX_REPLY = 1 << 20
"""Longest list in bytes that is read, about 30 000 functions. Parsing it takes 0.2 s, in which nothing else runs here."""
MAX_FUNCTIONS = 1000
"""Functions that are kept of a server; those with the most jobs and workers come first."""
MAX_NAME = 512
MAX_ERROR = 500
NO_PRIORITIES_S = 60.0
"""How long a server is not asked for priorities again after it did not tell them."""
UNKNOWN_PRIORITY = "unknown"


class Waiting(TypedDict):
    """Queued jobs by priority."""

    high: int
    normal: int
    low: int


class FunctionQueue(TypedDict):
    """One function on one server. ``jobs`` includes the running ones; ``waiting`` None: the server cannot tell."""

    jobs: int
    running: int
    workers: int
    waiting: Waiting | None


class ServerQueues(TypedDict):
    """One server. ``age_s`` is the age of ``functions``, None before the first answer; ``more`` were left out."""

    up: bool
    error: str | None
    age_s: float | None
    functions: dict[str, FunctionQueue]
    more: int


class Queues(TypedDict):
    """All servers, by address."""

    servers: dict[str, ServerQueues]


class QueuePoller:
    """Keeps the queues of some job servers.

    Args:
        servers: whom to ask.
        interval_s: seconds from one request to a server to the next.
        timeout_s: seconds for each request, connecting included.
        clock: the monotonic clock.
    """

    def __init__(
        self,
        servers: Sequence[ServerSettings],
        *,
        interval_s: float = INTERVAL_S,
        timeout_s: float = TIMEOUT_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._servers: dict[ServerSettings, _Server] = {}
        self._greenlets: dict[ServerSettings, gevent.Greenlet] = {}
        self._running = False
        self.follow(servers)

    def start(self) -> None:
        """Begin to ask."""
        self._running = True
        for settings, server in self._servers.items():
            if settings not in self._greenlets:
                self._greenlets[settings] = gevent.spawn(self._poll, server)

    def close(self) -> None:
        """Ask no more; a request under way is given up. What was learned is kept."""
        self._running = False
        gevent.killall(list(self._greenlets.values()), block=True)
        self._greenlets.clear()
        gevent.sleep(0)  # gevent closes their sockets when its event loop next runs

    def follow(self, servers: Iterable[ServerSettings]) -> None:
        """Ask these servers from now on, as after a reload. What is known of one that stays is kept."""
        wanted = {
            settings: self._servers.get(settings) or _Server(settings, self._timeout_s, self._clock)
            for settings in servers
        }
        gone = [
            self._greenlets.pop(settings) for settings in self._servers if settings in self._greenlets.keys() - wanted
        ]
        gevent.killall(gone, block=False)
        self._servers = wanted
        if self._running:
            self.start()

    @property
    def asked(self) -> bool:
        """Whether every server has answered, or failed to answer, at least once."""
        return all(server.asked for server in self._servers.values())

    def snapshot(self) -> Queues:
        """What is known now; plain values for JSON."""
        return {"servers": {server.name: server.queues() for server in self._servers.values()}}

    def families(self) -> Iterator[Family]:
        """The metrics of the servers, for the exposition. A server that was not asked yet has none."""
        asked = [server for server in self._servers.values() if server.asked]
        queues = [
            ([server.name, function], queue)
            for server in asked
            if server.up
            for function, queue in server.functions.items()
        ]
        yield family(names.GEARMAN_UP, (([server.name], server.up) for server in asked))
        yield family(names.GEARMAN_JOBS, ((labels, queue["jobs"]) for labels, queue in queues))
        yield family(names.GEARMAN_JOBS_RUNNING, ((labels, queue["running"]) for labels, queue in queues))
        yield family(
            names.GEARMAN_JOBS_WAITING,
            (
                ([*labels, priority], number)
                for labels, queue in queues
                for priority, number in _by_priority(queue).items()
            ),
        )
        yield family(names.GEARMAN_WORKERS, ((labels, queue["workers"]) for labels, queue in queues))

    def _poll(self, server: _Server) -> None:
        while True:
            begun = self._clock()
            server.ask()
            gevent.sleep(max(0.0, begun + self._interval_s - self._clock()))


class _Server:
    """One server and its last answer."""

    def __init__(self, settings: ServerSettings, timeout_s: float, clock: Clock) -> None:
        self.name = str(settings)
        self.asked = False
        self.up = False
        self.functions: dict[str, FunctionQueue] = {}
        self._admin = Admin([settings], timeout=timeout_s, modules=modules(), max_reply=MAX_REPLY)
        self._clock = clock
        self._error: str | None = None
        self._answered: float | None = None
        self._more = 0
        self._no_priorities_until = 0.0

    def ask(self) -> None:
        """Ask it and keep the answer. Never raises."""
        try:
            rows = self._admin.status()[self.name]
            functions, more = _kept(rows, self._priorities())
        except GearpoolError as error:
            self._failed(error.reason if isinstance(error, ConnectFailed) else str(error))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the server is asked again
            _log.exception("the queues of %s could not be read", self.name)
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self.functions, self._more = functions, more
            self._answered = self._clock()
            self.asked = self.up = True
            self._error = None

    def queues(self) -> ServerQueues:
        """For the snapshot."""
        age_s = None if self._answered is None else round(self._clock() - self._answered, 3)
        return {
            "up": self.up,
            "error": self._error if self.asked else "not asked yet",
            "age_s": age_s,
            "functions": self.functions,
            "more": self._more,
        }

    def _failed(self, reason: str) -> None:
        self.asked, self.up = True, False
        self._error = _printable(reason)[:MAX_ERROR]
        self._no_priorities_until = 0.0  # what comes back may be a newer version

    def _priorities(self) -> list[PriorityRow] | None:
        """None: the server does not know the command; old ones refuse it, close the connection or stay silent."""
        if self._clock() >= self._no_priorities_until:
            with contextlib.suppress(GearpoolError):
                return self._admin.priority_status()[self.name]
            self._no_priorities_until = self._clock() + NO_PRIORITIES_S
        return None


def _kept(
    rows: Iterable[FunctionRow], priorities: Iterable[PriorityRow] | None
) -> tuple[dict[str, FunctionQueue], int]:
    """The functions to keep, and how many were left out."""
    by_name = {row.function: row for row in priorities or ()}
    queues: dict[str, FunctionQueue] = {}
    left_out = 0
    for row in sorted(rows, key=lambda row: (-row.total, -row.workers)):
        name = _printable(row.function)
        if len(queues) == MAX_FUNCTIONS or len(name) > MAX_NAME:
            left_out += 1
            continue
        priority = by_name.get(row.function)
        queues[name] = {
            "jobs": row.total,
            "running": row.running,
            "workers": row.workers,
            "waiting": priority and {"high": priority.high, "normal": priority.normal, "low": priority.low},
        }
    return dict(sorted(queues.items())), left_out


def _by_priority(queue: FunctionQueue) -> dict[str, int]:
    waiting = queue["waiting"]
    if waiting is None:
        return {UNKNOWN_PRIORITY: max(0, queue["jobs"] - queue["running"])}
    return {"high": waiting["high"], "normal": waiting["normal"], "low": waiting["low"]}


def _printable(text: str) -> str:
    r"""Text that can be written as UTF-8: bytes of the wire that are none become ``\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
