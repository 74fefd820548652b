"""Detects by its process id that a job server has restarted. Floor 3.

A restarted server reuses its old handles for other jobs. A worker that was connected notices the lost connection, but a
new worker process cannot know whether the notes on jobs that it was given are still valid.

Invariant: where there are notes on jobs by their handles, no job is run before the server has been asked for its process
id. A server that does not answer is assumed not to have restarted.

Source: gearmand 1.1.20 and 2.0.0 answer ``getpid`` with ``OK PID``, as our own server does. In a container the process
id may always be 1; then only lost connections reveal a restart.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable

import gevent

from gearpool.errors import ConnectFailed, RemoteProtocolError
from gearpool.net import dialing, greenlets
from gearpool.protocol import admin
from gearpool.protocol.admin import Command
from gearpool.settings import ServerSettings
from gearpool.timing import Deadline
from gearpool.worker.suspects import Suspects

ASK_S = 3.0
"""How long a server has to answer."""


class Incarnations:
    """The process ids of the servers of one pool.

    Attributes:
        pids: the known process ids by server; a supervisor sets those that other processes have learned.
        on_learned: called with a server's name and its new process id. Without it, no server is asked.
    """

    def __init__(self, servers: Iterable[ServerSettings], suspects: Suspects) -> None:
        self._servers = {str(server): server for server in servers}
        self._suspects = suspects
        self.pids: dict[str, str] = {}
        self.on_learned: Callable[[str, str], None] | None = None

    def connected(self, name: str) -> None:
        """Ask a server that had no connection before. Waits for its answer if there are notes that depend on it."""
        if self.on_learned is None or name not in self._servers:
            return
        if self._suspects.knows_handles(name):
            self._ask(name)
        else:
            gevent.spawn(self._ask, name)

    def _ask(self, name: str) -> None:
        pid = _pid_of(self._servers[name])
        before = self.pids.get(name)
        if pid is None or pid == before:
            return
        self.pids[name] = pid
        if before is not None:
            self._suspects.server_lost(name)
        if self.on_learned is not None:
            self.on_learned(name, pid)


def _pid_of(server: ServerSettings) -> str | None:
    unknown = (OSError, ConnectFailed, RemoteProtocolError, gevent.Timeout)
    with contextlib.suppress(*unknown), gevent.Timeout(ASK_S), _connected(server) as sock:
        sock.sendall(admin.request(Command.GETPID))
        received = b""
        while not admin.reply_size(Command.GETPID, received):
            more = sock.recv(1024)
            if not more:
                return None
            received += more
        return received.decode("ascii", "replace").strip()
    return None


def _connected(server: ServerSettings) -> socket.socket:
    # No greeting: it would switch the connection to the binary protocol, and `getpid` is a text command.
    return dialing.connect(server, Deadline.after(ASK_S), modules=greenlets.modules(), greet=False)
