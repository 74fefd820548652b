"""Serves one function on one server: keeps a session open, and opens a new one when it is lost. Floor 3.

A lane handles addresses and back-off, not jobs. It serves one function per connection because gearmand 1.1 starves
all but the last registered function, and 2.0.0 even loses jobs when a connection has several.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from gearpool.errors import ConnectFailed
from gearpool.net import dialing, greenlets
from gearpool.net.greenlet_streams import GreenletStream, greenlet_stream
from gearpool.settings import ServerSettings
from gearpool.timing import Deadline
from gearpool.worker.functions import Function
from gearpool.worker.server_health import ServerHealth
from gearpool.worker.server_log import ServerLog
from gearpool.worker.session import Session

CONNECT_S = 5.0
"""Time limit of one connection attempt, including DNS and TLS."""
LATE_S = 0.5
"""An attempt that exceeds its limit by this much was delayed by this process itself."""
ATTEMPTS_WHEN_LATE = 3
"""How often such an attempt is repeated immediately."""
USER_TIMEOUT_MS = 120_000
"""How long the kernel keeps a connection whose peer does not acknowledge data. Longer than while connecting: on Linux this
also applies to a peer that is alive but does not read, and to a frozen container or a suspended machine. A session detects a
dead server by itself, because it receives nothing."""

_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


class Lane:
    """Serves one function on one server until it is closed.

    Args:
        open_session: makes a session of a new connection.
        health: whether the server can be reached, shared by all its lanes.
        stable_s: a connection that lasted this long is reopened without back-off.

    Attributes:
        session: the current session, None before the first.
        descriptor: the file descriptor of the socket while connected.
    """

    def __init__(
        self,
        function: Function,
        server: ServerSettings,
        open_session: Callable[[GreenletStream], Session],
        health: ServerHealth,
        server_log: ServerLog,
        stable_s: float,
    ) -> None:
        self.function = function
        self.server = server
        self.name = str(server)
        self.session: Session | None = None
        self.descriptor = -1
        self._connects = 0
        self._open_session = open_session
        self._health = health
        self._server_log = server_log
        self._steady_s = stable_s
        self._connected_at = 0.0
        self._stopping = Event()
        self._greenlet = gevent.spawn(self._run)

    @property
    def connected(self) -> bool:
        """Whether it has an open connection."""
        return self.session is not None and not self.session.closed

    def drain(self) -> None:
        """Do not connect again; the session ends when its jobs are finished."""
        self._stopping.set()
        self._health.leave(self)
        if self.session is not None:
            self.session.drain()

    def close(self) -> None:
        """Do not connect again, and close the session."""
        self._stopping.set()
        self._health.leave(self)
        if self.session is not None:
            self.session.close("stopped")
        self._greenlet.kill(block=False)

    def disconnect(self) -> None:
        """Shut the socket down, so that the server notices at once; callable from any thread."""
        if self.connected:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.descriptor)) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._health.enter(self, self._stopping)
            session = None if self._stopping.is_set() else self._connect()
            if session is None:
                continue
            while not (session.closed or session.draining or self._stopping.is_set()):
                session.changed.wait()
                session.changed.clear()
            if self._stopping.is_set():
                return
            if session.draining:
                # It hands jobs back: an immediate new session would get the same jobs again.
                self._stopping.wait(1.0 + random.random())
            else:
                self._lost(session.reason, was_stable=time.monotonic() - self._connected_at >= self._steady_s)

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
            sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, USER_TIMEOUT_MS)
        self.descriptor = sock.fileno()
        session = self.session = self._open_session(greenlet_stream(sock))
        self._connected_at = time.monotonic()
        self._connects += 1
        self._server_log.connected(self.name, again=self._connects > 1)
        self._health.reached(self)
        session.start()
        return session

    def _dial(self) -> Any:
        """A connected socket. Raises `ConnectFailed`.

        An attempt that took much longer than its limit failed because this process was stopped or blocked by a job, not
        because of the server, so it is repeated.
        """
        for _ in range(ATTEMPTS_WHEN_LATE):
            began = time.monotonic()
            try:
                return dialing.connect(self.server, Deadline.after(CONNECT_S), modules=greenlets.modules())
            except ConnectFailed:
                if self._stopping.is_set() or time.monotonic() - began < CONNECT_S + LATE_S:
                    raise
        return dialing.connect(self.server, Deadline.after(CONNECT_S), modules=greenlets.modules())

    def _lost(self, reason: str, *, was_stable: bool = False) -> None:
        self._server_log.lost(self.name, reason, self._health.lost(self, was_stable=was_stable))
