"""The client's connections: one a server, opened when first needed, chosen by function and unique id. Floor 3.

The pool knows nothing of jobs. It hands out live connections, remembers which servers are down, retries those in the
background so that callers need not, and reports to its owner which calls a lost connection left open.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from gearpool.client.connection import Connection
from gearpool.client.defaults import CLOSED, NOT_IN_TIME, UNANSWERED, ClientSettings
from gearpool.client.routing import Health, rank
from gearpool.client.session import Call, Session
from gearpool.client.waiting import CATCH_UP_S, LATE_S, Question
from gearpool.errors import ConnectFailed, GearpoolError, NoServersAvailable, TimedOut, UsageError
from gearpool.net.dialing import connect
from gearpool.net.streams import Stream
from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline

OnEnd = Callable[[str, str, list[Call]], None]

CLOSE_S = 5.0
"""How long closing waits for the readers' threads; one may be held up by a callback of the user's."""


class ConnectionPool:
    """Connections to several servers.

    Args:
        settings: the options of the client.
        on_end: called in a thread of the pool with (server, reason, calls left open) when a connection has ended, or when
            its server has forgotten jobs.
    """

    def __init__(
        self,
        settings: ClientSettings,
        on_end: OnEnd,
    ) -> None:
        self._settings = settings
        self._servers = {str(server): server for server in settings.servers}
        self._on_end = on_end
        self._names = tuple(self._servers)
        self._fresh()

    def _fresh(self) -> None:
        self._pid = os.getpid()
        self._live: dict[str, Connection] = {}
        self._all: set[Connection] = set()
        self._lock = threading.Lock()
        self._dialing = {name: threading.Lock() for name in self._names}
        self._health = Health(self._names)
        self._reviving: set[str] = set()
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """After `close`."""
        return self._closed.is_set()

    def forked(self) -> list[Call]:
        """If this process is a fork of the one that made the connections: drop them; what was under way on them."""
        if self._pid == os.getpid():
            return []
        # Only the forking thread lives on here: the locks may be held by others for ever, so new ones are made.
        inherited, closed = self._all, self._closed.is_set()
        self._fresh()
        if closed:
            self._closed.set()
        return [call for connection in inherited for call in connection.abandon()]

    def choose(self, function: bytes, unique: bytes, deadline: Deadline) -> Connection:
        """A live connection to the best server for this job that can be reached.

        Raises:
            NoServersAvailable: none can.
            TimedOut: the deadline came first.
        """
        if len(self._names) == 1:
            return self.to(self._names[0], deadline)
        ranked = rank(self._names, function, unique)
        reasons: dict[str, str] = {}
        names = self._health.preferred(ranked)
        for index, name in enumerate(names):
            live = self._live.get(name)
            if live is not None and live.usable:
                return live
            try:
                # One that hangs must leave time for the next.
                return self._open(name, deadline.share(len(names) - index))
            except ConnectFailed as error:
                reasons[name] = error.reason
            except TimedOut:
                if index == len(names) - 1:
                    raise
                reasons[name] = NOT_IN_TIME
        raise NoServersAvailable({name: reasons[name] for name in self._names if name in reasons})

    def to(self, name: str, deadline: Deadline) -> Connection:
        """A live connection to this server.

        Raises:
            NoServersAvailable: it cannot be reached.
            TimedOut: the deadline came first.
        """
        live = self._live.get(name)
        if live is not None and live.usable:
            return live
        try:
            return self._open(name, deadline)
        except ConnectFailed as error:
            raise NoServersAvailable({name: error.reason}) from error

    def current(self, name: str) -> Connection | None:
        """The connection to this server, if there is one."""
        return self._live.get(name)

    def of(self, name: str) -> list[Connection]:
        """All connections to this server, those that are given nothing new included."""
        with self._lock:
            return [connection for connection in self._all if connection.server == name]

    @property
    def reads_here(self) -> bool:
        """The calling thread is the reader of one of the connections."""
        return any(connection.reads_here for connection in list(self._all))

    def close(self) -> None:
        """Close all connections; calls under way fail."""
        self._closed.set()
        if self._pid != os.getpid():
            # At the exit of a forked child: shutting the connections would end the parent's.
            for connection in self._all:
                connection.abandon()
            return
        with self._lock:
            connections = list(self._all)
        limit = Deadline.after(CLOSE_S)
        for connection in connections:
            connection.shut()
        for connection in connections:
            connection.join(limit.timeout())

    def _open(self, name: str, deadline: Deadline) -> Connection:
        if self._closed.is_set():
            raise UsageError(CLOSED)
        if deadline.expired():
            raise TimedOut(f"no time left to connect to {name}")
        timeout = deadline.timeout()
        dialing = self._dialing[name]
        if not dialing.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
            raise TimedOut(f"no connection to {name} in time")
        try:
            live = self._live.get(name)
            if live is not None and live.usable:  # another thread has opened it
                return live
            until = deadline.earlier(Deadline.after(self._settings.connect_timeout))
            try:
                return self._dial(name, until)
            except ConnectFailed:
                if time.monotonic() - until.at < LATE_S:
                    raise
                # This process did not run when the server answered: that is no fault of the server's.
                return self._dial(name, Deadline.after(min(self._settings.connect_timeout, CATCH_UP_S)))
        except ConnectFailed as error:
            self._failed(name, error.reason)
            raise
        finally:
            dialing.release()

    def _dial(self, name: str, until: Deadline) -> Connection:
        sock = connect(self._servers[name], until, modules=self._settings.modules)
        connection = Connection(
            name,
            Stream(sock),
            Session(self._settings.max_packet),
            request_timeout=self._settings.request_timeout,
            on_end=self._ended,
            on_left=self._on_end,
        )
        if self._settings.exceptions:
            # First on the connection, so that it applies to everything after it; its answer is not awaited.
            question = request(PacketType.OPTION_REQ, b"exceptions")
            connection.call([Question(PacketType.OPTION_RES)], question, until)
        with self._lock:
            if self._closed.is_set():
                connection.abandon()
                raise UsageError(CLOSED)
            before = self._live.get(name)
            self._all.add(connection)
            self._live[name] = connection
        self._health.worked(name)
        connection.start()
        if before is not None and not before.session.busy:
            before.shut(UNANSWERED)  # a retired one without jobs under way
        return connection

    def _failed(self, name: str, reason: str) -> None:
        self._health.failed(name, reason)
        if len(self._names) == 1 or self._closed.is_set():
            return
        with self._lock:
            if name in self._reviving:
                return
            self._reviving.add(name)
        threading.Thread(target=self._revive, args=(name,), name=f"gearpool-revive-{name}", daemon=True).start()

    def _revive(self, name: str) -> None:
        """Try a server that is down, with growing pauses, until it is back: callers then find it open."""
        delay = self._health.failed(name, self._health.reasons.get(name, "down"))
        try:
            while not self._closed.wait(delay):
                try:
                    with self._dialing[name]:
                        live = self._live.get(name)
                        if live is None or not live.usable:
                            self._dial(name, Deadline.after(self._settings.connect_timeout))
                    return
                except ConnectFailed as error:
                    delay = self._health.failed(name, error.reason)
        except GearpoolError:
            return  # closed meanwhile
        finally:
            with self._lock:
                self._reviving.discard(name)

    def _ended(self, connection: Connection) -> None:
        with self._lock:
            self._all.discard(connection)
            if self._live.get(connection.server) is connection:
                del self._live[connection.server]
        reason = "the client was closed" if self._closed.is_set() else connection.ended or ""
        self._on_end(connection.server, reason, connection.session.leftovers())
