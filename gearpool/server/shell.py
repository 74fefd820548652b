"""The embedded job server: a `Core` behind listening sockets on gevent's loop. Floor 3.

No greenlet is made for a connection: the event loop calls back, the core computes, and the output of a pass leaves with
one send per connection at its end. A pass does a bounded amount of work (`gearpool.server.pacing`), and all connections
together use a bounded amount of memory (`gearpool.server.memory_use`). The server belongs to the thread whose hub
started it.
"""

from __future__ import annotations

import functools
import logging
import os
import socket as standard_socket
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Self

from gevent.event import Event
from gevent.hub import get_hub

from gearpool.limited_log import EVERY_S, LimitedLog
from gearpool.net.dialing import tune
from gearpool.protocol.codec import DEFAULT_MAX_PACKET
from gearpool.server.accepting import Acceptor
from gearpool.server.connections import Connection
from gearpool.server.core import Core
from gearpool.server.listening import bind
from gearpool.server.memory_use import MemoryUse
from gearpool.server.pacing import Pacing
from gearpool.server.records import Peer
from gearpool.server.store import Store, StoreError
from gearpool.server.streams import PlainStream, Stream, TlsStream, server_context
from gearpool.settings import BACKLOG, TlsSettings
from gearpool.timing import Deadline
from gearpool.version import __version__

log: logging.Logger = logging.getLogger("gearpool.server")

DEFAULT_MAX_UNSENT = 256 * 1024 * 1024
"""A peer with more unsent bytes than this is disconnected; payloads of the jobs that it runs are not counted."""

DEFAULT_MAX_BUFFERED = 1024 * 1024 * 1024
"""Bytes that all connections together may cost: unread output and unfinished packets. Beyond that the connection that
has cost most memory longest is closed, then the next."""


_MAX_WAIT_S = 30.0
"""How long a timer sleeps at most: the wall clock, by which EPOCH jobs are due, may be set."""

_USER_TIMEOUT = getattr(standard_socket, "TCP_USER_TIMEOUT", None)
_UNREACHABLE_AFTER_MS = 300_000
"""A peer that has taken nothing of what waits for it for so long is gone.

Longer than on the other side (`gearpool.net.dialing`): Linux counts a peer that lives but does not read as well, and a
client may compute for a minute before it reads its results.
"""


class JobServer:
    """A Gearman job server in this process.

    ``start``, ``quiet`` and ``stop`` may come in any order and any number; a stopped server can be started again and
    has forgotten everything but what is in its store.

    Args:
        listen: host and port; port 0: any free one, see `port`.
        tls: certificate and key to speak TLS; with ``ca`` only clients with a certificate of it are served.
        job_retries: how often a job is run at most when its workers vanish, then WORK_FAIL; 0: for ever.
        max_packet: largest packet body in bytes that is taken.
        max_unsent: bytes a peer may leave unread before it is disconnected.
        max_buffered: bytes that unread output and unfinished packets of all connections may take together.
        max_connections: how many connections; 0: what the limit of file descriptors allows. When there are so many,
            those that take no part in any job are closed for newcomers, the longest silent first; without any such
            a newcomer is closed.
        exceptions: clients get WORK_EXCEPTION without asking for it.
        worker_wakeup: how many sleeping workers are called for a job; 0: all.
        handle_prefix: handles are ``PREFIX:NUMBER``; None: ``H:HOST:NUMBER``.
        backlog: that of listen(2).
        store: ``memory``, or the path of an SQLite file in which background jobs outlive the server.

    Raises:
        ConfigurationError: the TLS files cannot be used.
    """

    def __init__(
        self,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        *,
        tls: TlsSettings | None = None,
        job_retries: int = 0,
        max_packet: int = DEFAULT_MAX_PACKET,
        max_unsent: int = DEFAULT_MAX_UNSENT,
        max_buffered: int = DEFAULT_MAX_BUFFERED,
        max_connections: int = 0,
        exceptions: bool = False,
        worker_wakeup: int = 0,
        handle_prefix: str | None = None,
        backlog: int = BACKLOG,
        store: str = "memory",
    ) -> None:
        self._listen = listen
        self._context = server_context(tls) if tls is not None else None
        self.max_unsent = max_unsent
        self.memory_use: MemoryUse[Connection] = MemoryUse(max_buffered)
        self.pacing: Pacing = Pacing()
        self._make_core = functools.partial(
            Core,
            host=standard_socket.gethostname(),
            job_retries=job_retries,
            max_packet=max_packet,
            version=f"gearpool-{__version__}",
            exceptions=exceptions,
            worker_wakeup=worker_wakeup,
            handle_prefix=handle_prefix,
        )
        self._max_connections = max_connections
        self._backlog = backlog
        self._behind: OrderedDict[Connection, None] = OrderedDict()
        self._next_pass: Any = None
        self._store_path = None if store == "memory" else store
        self._store: Store | None = None
        self.core: Core = self._new_core()
        self.loop: Any = None
        self._acceptor: Acceptor | None = None
        self._log = LimitedLog(log)
        self._tell_timer: Any = None
        self._connections: dict[Peer, Connection] = {}
        self._flush_due = False
        self._timer: Any = None
        self._timer_due: float | None = None
        self._stopping = False
        self.lost_jobs: int = 0
        """Background jobs that the last stop lost: they had not been run, and were kept in memory only."""
        self._begun = False
        """It was started and not stopped since: its jobs must be kept."""
        self._address: tuple[str, int] = listen
        self._changed = Event()
        self.wrap: Callable[[Stream, Any], Stream] | None = None
        """For tests: called with each new connection's stream and socket; what it returns is used instead."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop(Deadline.after(0))

    @property
    def address(self) -> str:
        """``host:port`` it listens on, with the real port once started."""
        host, port = self._address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._address[1]

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def start(self) -> None:
        """Listen, with the background jobs of the last time if there is a store.

        Raises:
            OSError: the address cannot be listened on.
            ConfigurationError: the store cannot be used.
        """
        if self._acceptor:
            return
        self.loop = get_hub().loop
        self._stopping = False
        # Started again, on the port it had.
        sockets = bind(self._listen[0], self._listen[1] or self._address[1], self._backlog)
        if not self._begun:
            try:
                self._begin()
            except BaseException:
                for sock in sockets:
                    sock.close()
                raise
        self._address = (self._listen[0], sockets[0].getsockname()[1])
        self._acceptor = Acceptor(self.loop, self._connections.values, self._serve, self.report, self._max_connections)
        self._acceptor.start(sockets)
        if self.core.ledger.next_due is not None:
            self.flush_soon()

    def _begin(self) -> None:
        """A new core, with what the store has."""
        self._end_store()
        if self._store_path is not None:
            self._store = Store(self._store_path)
        self._begun = True
        self.core = self._new_core()
        if self._store is not None:
            try:
                for kept in self._store.load():
                    self.core.ledger.restore(*kept)
            except BaseException:  # leave the file unlocked
                self._store.close()
                self._store = None
                raise

    def _end_store(self) -> None:
        if self._store is not None:
            self._commit(self._store)
            self._store.close()
            self._store = None

    def _commit(self, store: Store) -> None:
        try:
            store.commit()
        except StoreError as error:
            self.report(logging.ERROR, "server.store", f"cannot write to {self._store_path}: {error}")
            self.core.take_back(store.drop_added())

    def quiet(self) -> None:
        """Accept no more connections; existing ones stay."""
        if self._acceptor is not None:
            self._acceptor.stop()

    def stop(self, deadline: Deadline | None = None) -> None:
        """Hand out nothing and take in nothing more, let running jobs end until ``deadline``, then close everything.

        Without a deadline it closes at once. Waiting jobs are lost, but for background jobs in a store; there, those
        that run now will run again.
        """
        self.quiet()
        self._stopping = True
        self.core.drain()
        end = deadline or Deadline.after(0)
        while self._busy and not end.expired():
            self._changed.clear()
            self._changed.wait(end.timeout())
        self.drop_connections()
        if self._begun:
            in_memory = self._store_path is None
            self.lost_jobs = sum(job.background for job in self.core.ledger.jobs.values()) if in_memory else 0
        while self.core.leaving:
            self.core.advance_leaving()
        if self._timer is not None:
            self._timer.close()
            self._timer = self._timer_due = None
        if self._next_pass is not None:
            self._next_pass.close()
            self._next_pass = None
        self._end_store()
        self._tell(all_of_them=True)
        self._begun = False

    def drop_connections(self) -> None:
        """Close every connection, as a network fault would. Their running jobs wait again."""
        for connection in list(self._connections.values()):
            connection.close("")

    @property
    def _busy(self) -> bool:
        return bool(self.core.running) or any(each.unsent for each in self._connections.values())

    def flush_soon(self) -> None:
        """The core has new input: send its output once all ready sockets have been read."""
        if not self._flush_due:
            self._flush_due = True
            self.loop.run_callback(self._flush)

    def gone(self, connection: Connection) -> None:
        """A connection has ended."""
        del self._connections[connection.peer]
        self._behind.pop(connection, None)
        self.memory_use.clear(connection)
        before = self.core.work
        self.core.disconnect(connection.peer, self.pacing.work)
        self.pacing.served(self.core.work - before, 0)
        if self.core.leaving:
            self._advance_soon()
        self.flush_soon()

    def put_behind(self, connection: Connection) -> None:
        """A connection has requests that were read and not served: they are served in the passes to come."""
        self._behind[connection] = None
        self._advance_soon()

    def _advance_soon(self) -> None:
        # A timer and no callback: callbacks run until there are none, and no socket would be read meanwhile.
        if self._next_pass is None:
            self._next_pass = self.loop.timer(0.0)
        if not self._next_pass.active:
            self._next_pass.start(self._advance, update=False)

    def _advance(self) -> None:
        for _ in range(len(self._behind)):
            if self.pacing.exhausted:
                # The rest is first in the next pass, behind only those that were quiet until then.
                break
            connection, _none = self._behind.popitem(last=False)
            # Without room for replies it waits until its peer has read some: see `Connection`.
            if not connection.peer.closed and not connection.blocked:
                connection.advance()
        if self.core.leaving:
            before = self.core.work
            self.core.advance_leaving(self.pacing.work)
            self.pacing.served(self.core.work - before, 0)
            self.flush_soon()
        if self.core.leaving or self._behind:
            self._advance_soon()

    def report(self, level: int, event: str, message: str, **fields: Any) -> None:
        """Log what a peer may cause as often as it likes: some lines, and how many more there were."""
        if not self._log.emit(level, event, message, **fields) and self._tell_timer is None and self._begun:
            self._tell_timer = self.loop.timer(EVERY_S)
            self._tell_timer.start(self._tell)

    def _tell(self, *, all_of_them: bool = False) -> None:
        if self._tell_timer is not None:
            self._tell_timer.close()
            self._tell_timer = None
        self._log.tell(all_of_them=all_of_them)

    def _flush(self) -> None:
        self._flush_due = False
        self.pacing.next_pass()
        if self._store is not None and self._store.waiting:
            self._commit(self._store)
        dirty, connections = self.core.dirty, self._connections
        # Sending may end a connection, whose jobs then are handed back and wake others: these come in the next round.
        peers = dirty.copy()
        dirty.clear()
        for peer in peers:
            connection = connections.get(peer)
            if connection is None:
                peer.out.clear()
            elif peer.out:
                connection.flush()
        while (owner := self.memory_use.over()) is not None:
            owner.close(f"all connections together cost {self.memory_use.total} bytes, this one has longest")
        if dirty:
            self.flush_soon()
        due = self.core.ledger.next_due
        if due is not None and due != self._timer_due:
            self._wake_at(due)
        if self._stopping:
            self._changed.set()

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.close()
        self._timer_due = due
        self._timer = self.loop.timer(min(_MAX_WAIT_S, max(0.0, due - time.time())))
        self._timer.start(self._on_time)

    def _on_time(self) -> None:
        self._timer_due = None
        self.core.ledger.release_due(time.time())
        self.flush_soon()

    def _serve(self, sock: Any, address: str) -> None:
        sock.setblocking(False)
        try:
            tune(sock)
            if _USER_TIMEOUT is not None:
                sock.setsockopt(standard_socket.IPPROTO_TCP, _USER_TIMEOUT, _UNREACHABLE_AFTER_MS)
            stream: Stream = PlainStream(sock) if self._context is None else TlsStream(sock, self._context)
        except OSError:
            # It has disconnected already.
            sock.close()
            return
        if self.wrap is not None:
            stream = self.wrap(stream, sock)
        peer = self.core.connect(address, sock.fileno())
        self._connections[peer] = Connection(self, stream, sock.fileno(), peer, self.loop)

    def _new_core(self) -> Core:
        # Microseconds: fewer jobs than that are made, so a later run begins above all numbers of this one.
        return self._make_core(first_handle=time.time_ns() // 1000, pid=os.getpid(), job_store=self._store)
