"""Tells one life of a job server from the next, by its process id. Floor 3.

A server that restarts gives the handles that it gave before to other jobs. A process that is connected sees that its
connections are lost; one that starts does not know whether the server is still the one of which it was told. Law: where
something is known of jobs by their handles, none is run before the server has said who it is. A server that does not say
is taken for the same.

Source: gearmand 1.1.20 and 2.0.0 answer ``getpid`` with ``OK PID``, as our own server does. In a container it may be 1
each time: then only lost connections tell.
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
"""How long a server has to say who it is."""


class Incarnations:
    """The process ids of one pool's servers.

    Args:
        servers: all of them.
        suspects: what is known of jobs.

    Attributes:
        pids: by server, as far as they are known; a supervisor sets those that other processes have learned.
        on_learned: called with a server's name and its process id when that is new. Without it nobody is asked.
    """

    def __init__(self, servers: Iterable[ServerSettings], suspects: Suspects) -> None:
        self._servers = {str(server): server for server in servers}
        self._suspects = suspects
        self.pids: dict[str, str] = {}
        self.on_learned: Callable[[str, str], None] | None = None

    def connected(self, name: str) -> None:
        """There is a connection to a server that had none. Waits for its answer if that matters for the jobs to come."""
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
    # No greeting: after an ECHO the connection speaks the binary protocol, and this asks in the text protocol.
    return dialing.connect(server, Deadline.after(ASK_S), modules=greenlets.modules(), greet=False)
