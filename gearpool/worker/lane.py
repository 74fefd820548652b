"""A lane: one function on one server. Keeps a session open, and opens a new one when that is lost. Floor 3.

Law: a lane knows addresses and back-off, nothing of jobs. One function a connection, because gearmand 1.1 starves all
but the last registered and 2.0.0 even loses jobs when a connection has several.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from gearpool.errors import ConnectFailed
from gearpool.net import dialing, greenlets
from gearpool.net.greenlet_streams import greenlet_stream
from gearpool.settings import ServerSettings
from gearpool.timing import Deadline
from gearpool.worker.functions import Function
from gearpool.worker.reach import Reach
from gearpool.worker.session import Session
from gearpool.worker.shares import ServerShare

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool

CONNECT_S = 5.0
"""One try to connect, DNS and TLS included; it also bounds how late a server's return is seen."""
LATE_S = 0.5
"""A try that took so much longer than it may was held up by ourselves."""
UNREAD_MS = 120_000
"""For so long the kernel keeps a connection whose server takes nothing of what waits for it. Longer than when connecting:
Linux counts a server that lives but does not read, too, and in a frozen container or on a suspended machine both sides
stand still. A dead server is noticed by the session, which hears nothing from it."""
AGAIN = 3
"""So often such a try is made again at once."""


_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


class Lane:
    """Serves one function on one server until it is stopped.

    Attributes:
        session: the session in use, None while there is none.
        last_error: why there is none.
        descriptor: the socket's, while it is connected.
    """

    def __init__(
        self, pool: Pool, function: Function, server: ServerSettings, reach: Reach, share: ServerShare | None = None
    ) -> None:
        self.function = function
        self.server = server
        self.name = str(server)
        self.session: Session | None = None
        self.last_error = ""
        self.descriptor = -1
        self.connects = 0
        self._pool = pool
        self._reach = reach
        self._share = share or ServerShare()
        self._connected_at = 0.0
        self._stopping = Event()
        self._greenlet = gevent.spawn(self._run)

    @property
    def connected(self) -> bool:
        """Whether it has a connection."""
        return self.session is not None and not self.session.closed

    def retire(self) -> None:
        """Connect no more; the session ends when its jobs are done."""
        self._stopping.set()
        self._reach.leave(self)
        if self.session is not None:
            self.session.retire()

    def stop(self) -> None:
        """Connect no more, and close."""
        self._stopping.set()
        self._reach.leave(self)
        if self.session is not None:
            self.session.close("stopped")
        self._greenlet.kill(block=False)

    def disconnect(self) -> None:
        """Shut the socket down, so that the server notices at once; from a thread other than the pool's."""
        if self.connected:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.descriptor)) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._reach.enter(self, self._stopping)
            session = None if self._stopping.is_set() else self._connect()
            if session is None:
                continue
            while not (session.closed or session.retired or self._stopping.is_set()):
                session.changed.wait()
                session.changed.clear()
            if self._stopping.is_set():
                return
            if session.retired:
                # It hands jobs back: a new session at once would be given the same ones again at once.
                self._stopping.wait(1.0 + random.random())
            else:
                steady = time.monotonic() - self._connected_at >= self._pool.patience.steady_s
                self._lost(session.reason, was_steady=steady)

    def _connect(self) -> Session | None:
        try:
            sock = self._dial()
        except ConnectFailed as error:
            self._lost(error.reason)
            return None
        if self._stopping.is_set():
            sock.close()
            return None
        if _USER_TIMEOUT is not None:
            sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, UNREAD_MS)
        self.descriptor = sock.fileno()
        session = self.session = Session(self._pool, self.function, self.name, greenlet_stream(sock), self._share)
        self._connected_at = time.monotonic()
        self.connects += 1
        self._pool.server_log.connected(self.name, again=self.connects > 1)
        self.last_error = ""
        self._reach.reached(self)
        session.start()
        return session

    def _dial(self) -> Any:
        """A connected socket. Raises `ConnectFailed`.

        A try that took much longer than it may was held up by ourselves: this process was stopped, or one of its jobs
        blocked it. What the server answered meanwhile is lost with the try; that says nothing of the server.
        """
        for _ in range(AGAIN):
            began = time.monotonic()
            try:
                return dialing.connect(self.server, Deadline.after(CONNECT_S), modules=greenlets.modules())
            except ConnectFailed:
                if self._stopping.is_set() or time.monotonic() - began < CONNECT_S + LATE_S:
                    raise
        return dialing.connect(self.server, Deadline.after(CONNECT_S), modules=greenlets.modules())

    def _lost(self, reason: str, *, was_steady: bool = False) -> None:
        self.last_error = reason
        self._pool.server_log.lost(self.name, reason, self._reach.lost(self, was_steady=was_steady))
