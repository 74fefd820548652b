"""The embedded job server: a `Core` behind listening sockets on gevent's loop. Floor 3.

Law: no greenlet is made for a connection; the loop calls back, the core computes, and what a turn produced leaves with
one send a connection at the turn's end. The server belongs to the thread whose hub started it.
"""

from __future__ import annotations

import errno
import logging
import os
import socket as standard_socket
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Self

import gevent
from gevent.event import Event
from gevent.hub import get_hub

import gearpool
from gearpool import logs
from gearpool.net.dialing import tune
from gearpool.protocol.codec import DEFAULT_MAX_PACKET
from gearpool.server.connections import Connection
from gearpool.server.core import Core
from gearpool.server.listening import bind
from gearpool.server.peers import Peer
from gearpool.server.store import Store
from gearpool.server.streams import PlainStream, Stream, TlsStream, server_context
from gearpool.settings import TlsSettings
from gearpool.timing import Deadline

log = logging.getLogger("gearpool.server")

DEFAULT_MAX_UNSENT = 256 * 1024 * 1024
"""A client that has not read so many bytes of results is let go."""

_LONGEST_NAP_S = 30.0
"""How long a timer sleeps at most: the wall clock, by which EPOCH jobs are due, may be set."""

_ACCEPT_PAUSE_S = 0.5

_USER_TIMEOUT = getattr(standard_socket, "TCP_USER_TIMEOUT", None)
_UNREACHABLE_AFTER_MS = 300_000
"""A peer that has taken nothing of what waits for it for so long is gone.

Longer than on the other side (`gearpool.net.dialing`): Linux counts a peer that lives but does not read as well, and a
client may compute for a minute before it looks at its results.
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
        max_unsent: bytes a client may leave unread before it is let go.
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
        store: str = "memory",
    ) -> None:
        self._listen = listen
        self._context = server_context(tls) if tls is not None else None
        self._job_retries = job_retries
        self._max_packet = max_packet
        self.max_unsent = max_unsent
        self._store_path = None if store == "memory" else store
        self._store: Store | None = None
        self.core = self._new_core()
        self.loop: Any = None
        self._listeners: list[tuple[Any, Any]] = []
        self._connections: dict[Peer, Connection] = {}
        self._flush_due = False
        self._timer: Any = None
        self._timer_due: float | None = None
        self._stopping = False
        self._begun = False
        """Since the last start there was no stop: what it holds is to be kept."""
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
        if self._listeners:
            return
        self.loop = get_hub().loop
        self._stopping = False
        # Started again, on the port it had.
        sockets = bind(self._listen[0], self._listen[1] or self._address[1])
        if not self._begun:
            try:
                self._begin()
            except BaseException:
                for sock in sockets:
                    sock.close()
                raise
        self._address = (self._listen[0], sockets[0].getsockname()[1])
        for sock in sockets:
            watcher = self.loop.io(sock.fileno(), 1)
            self._listeners.append((sock, watcher))
            watcher.start(self._accept, sock, watcher)
        if self.core.next_due is not None:
            self.turn_done()

    def _begin(self) -> None:
        """A new core, with what the store has."""
        self._end_store()
        if self._store_path is not None:
            self._store = Store(self._store_path)
        self._begun = True
        self.core = self._new_core()
        if self._store is not None:
            for kept in self._store.load():
                self.core.ledger.restore(*kept)

    def _end_store(self) -> None:
        if self._store is not None:
            self._commit(self._store)
            self._store.close()
            self._store = None

    def _commit(self, store: Store) -> None:
        try:
            store.commit()
        except sqlite3.Error as error:
            logs.emit(log, logging.ERROR, "server.store", f"cannot write to {self._store_path}: {error}")
            self.core.take_back(store.drop_added())

    def quiet(self) -> None:
        """Take no more connections; those that are go on."""
        for sock, watcher in self._listeners:
            watcher.stop()
            watcher.close()
            sock.close()
        self._listeners.clear()

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
        if self._timer is not None:
            self._timer.close()
            self._timer = self._timer_due = None
        self._end_store()
        self._begun = False

    def drop_connections(self) -> None:
        """Close every connection, as a network fault would. Their running jobs wait again."""
        for connection in list(self._connections.values()):
            connection.close("")

    @property
    def _busy(self) -> bool:
        return bool(self.core.running) or any(each.unsent for each in self._connections.values())

    def turn_done(self) -> None:
        """The core was fed: send what it has to say once all sockets that are ready have been read."""
        if not self._flush_due:
            self._flush_due = True
            self.loop.run_callback(self._flush)

    def gone(self, connection: Connection) -> None:
        """A connection has ended."""
        del self._connections[connection.peer]
        self.core.disconnect(connection.peer)
        self.turn_done()

    def _flush(self) -> None:
        self._flush_due = False
        if self._store is not None and self._store.waiting:
            self._commit(self._store)
        dirty, connections = self.core.dirty, self._connections
        # Sending may end a connection, whose jobs then are handed back and wake others: these come in the next round.
        peers = dirty.copy()
        dirty.clear()
        for peer in peers:
            connection = connections.get(peer)
            if connection is not None and peer.out:
                connection.flush()
        if dirty:
            self.turn_done()
        due = self.core.next_due
        if due is not None and due != self._timer_due:
            self._wake_at(due)
        if self._stopping:
            self._changed.set()

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.close()
        self._timer_due = due
        self._timer = self.loop.timer(min(_LONGEST_NAP_S, max(0.0, due - time.time())))
        self._timer.start(self._on_time)

    def _on_time(self) -> None:
        self._timer_due = None
        self.core.pass_time(time.time())
        self.turn_done()

    def _accept(self, listener: Any, watcher: Any) -> None:
        for _ in range(64):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    # The kernel keeps them waiting; asking again at once would spin.
                    logs.emit(log, logging.ERROR, "server.full", f"cannot accept connections: {error.strerror}")
                    watcher.stop()
                    gevent.spawn_later(_ACCEPT_PAUSE_S, self._accept_again, listener, watcher)
                    return
                continue
            self._serve(sock, str(address[0]))

    def _accept_again(self, listener: Any, watcher: Any) -> None:
        if any(each is watcher for _, each in self._listeners):
            watcher.start(self._accept, listener, watcher)

    def _serve(self, sock: Any, address: str) -> None:
        sock.setblocking(False)
        try:
            tune(sock)
            if _USER_TIMEOUT is not None:
                sock.setsockopt(standard_socket.IPPROTO_TCP, _USER_TIMEOUT, _UNREACHABLE_AFTER_MS)
            stream: Stream = PlainStream(sock) if self._context is None else TlsStream(sock, self._context)
        except OSError:
            # It has gone again.
            sock.close()
            return
        if self.wrap is not None:
            stream = self.wrap(stream, sock)
        peer = self.core.connect(address, sock.fileno())
        self._connections[peer] = Connection(self, stream, sock.fileno(), peer, self.loop)

    def _new_core(self) -> Core:
        return Core(
            host=standard_socket.gethostname(),
            # Microseconds: fewer jobs than that are made, so a later run begins above all numbers of this one.
            first_handle=time.time_ns() // 1000,
            job_retries=self._job_retries,
            max_packet=self._max_packet,
            version=f"gearpool-{gearpool.__version__}",
            pid=os.getpid(),
            keeper=self._store,
        )
