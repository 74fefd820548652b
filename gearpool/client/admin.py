"""The servers' text protocol: what they hold, and the few things an administrator may change. Floor 3.

Each request has a connection of its own, closed after the reply, so nothing here waits behind jobs. All servers are
asked at once; one that is down does not hide the others and is listed in ``failures``. Servers answer in their only
processing thread, so do not poll often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gearpool.client.asking import known_server, one_server
from gearpool.client.replies import Reading, Replies, check_empty, collect, parse_pid, queue_limits, was_cancelled
from gearpool.errors import GearpoolError
from gearpool.net.dialing import close, connect
from gearpool.net.modules import Modules
from gearpool.protocol import admin as wire
from gearpool.protocol.admin import Command, FunctionRow, JobRow, PriorityRow, WorkerRow
from gearpool.protocol.names import function_name
from gearpool.settings import ServerSettings
from gearpool.timing import Deadline

_T = TypeVar("_T")


class Admin:
    """Administrative commands, over one or several servers.

    Args:
        servers: whom to ask.
        timeout: seconds for each server, connecting included.
        modules: where sockets come from.
        max_reply: the longest list in bytes that is read.

    Every method that asks all servers raises NoServersAvailable when none answers.
    """

    def __init__(
        self,
        servers: Sequence[ServerSettings],
        *,
        timeout: float,
        modules: Modules,
        max_reply: int = wire.MAX_REPLY,
    ) -> None:
        self._servers = {str(server): server for server in servers}
        self._timeout = timeout
        self._modules = modules
        self._max_reply = max_reply

    def status(self, server: str | None = None) -> Replies[list[FunctionRow]]:
        """Functions with jobs (running ones included), running jobs and registered workers."""
        return self._all(server, Command.STATUS, parse=wire.parse_status)

    def priority_status(self, server: str | None = None) -> Replies[list[PriorityRow]]:
        """Functions with queued jobs by priority."""
        return self._all(server, Command.PRIORITY_STATUS, parse=wire.parse_priority_status)

    def workers(self, server: str | None = None) -> Replies[list[WorkerRow]]:
        """Every connection, with its id and functions."""
        return self._all(server, Command.WORKERS, parse=wire.parse_workers)

    def jobs(self, server: str | None = None) -> Replies[list[JobRow]]:
        """Every job the server holds."""
        return self._all(server, Command.SHOW_JOBS, parse=wire.parse_jobs)

    def unique_jobs(self, server: str | None = None) -> Replies[list[str]]:
        """The unique ids of every job the server holds."""
        return self._all(server, Command.SHOW_UNIQUE_JOBS, parse=wire.parse_uniques)

    def version(self, server: str | None = None) -> Replies[str]:
        """The servers' versions."""
        return self._all(server, Command.VERSION, parse=wire.parse_ok)

    def getpid(self, server: str | None = None) -> Replies[int]:
        """The servers' process ids. A changed one means a restart, after which old handles name other jobs."""
        return self._all(server, Command.GETPID, parse=parse_pid)

    def verbose(self, server: str | None = None) -> Replies[str]:
        """The servers' log levels."""
        return self._all(server, Command.VERBOSE, parse=wire.parse_ok)

    def create(self, function: str | bytes, server: str | None = None) -> Replies[str]:
        """Make the function known before any worker or job names it."""
        return self._all(server, Command.CREATE_FUNCTION, function_name(function), parse=wire.parse_ok)

    def drop(self, function: str | bytes, server: str | None = None) -> Replies[str]:
        """Forget the function. A server where jobs wait refuses, here: they would be lost, their unique ids dead.

        A job may still arrive between the check and the drop.
        """
        name = function_name(function)
        return self._each(server, lambda settings: self._drop(settings, name))

    def maxqueue(
        self, function: str | bytes, limits: int | tuple[int, int, int] | None, server: str | None = None
    ) -> Replies[str]:
        """Limit the queued jobs of a function. Beyond it submissions get QUEUE_ERROR; one that coalesces passes.

        Args:
            function: its name. One that a server does not know is answered OK and not limited.
            limits: one number for all priorities, three for (high, normal, low), None or 0 for no limit.
            server: only this one.
        """
        words = queue_limits(limits)
        return self._all(server, Command.MAXQUEUE, function_name(function), *words, parse=wire.parse_ok)

    def cancel(self, job: object) -> bool:
        """Take a waiting job out of the queue. A running one runs on.

        Args:
            job: what a submission returned, or ``server/handle``; a bare handle only if there is one server.

        Returns:
            False if the server does not know it.
        """
        server, handle = one_server(job, list(self._servers))
        return was_cancelled(self.ask(server, Command.CANCEL_JOB, handle))

    def ask(self, server: str, command: Command, *arguments: bytes) -> bytes:
        """One command, one server, the raw reply.

        Raises:
            ConnectFailed: it cannot be reached.
            ConnectionLost: it closed the connection instead of answering.
            TimedOut: it did not answer.
        """
        return self._ask(self._settings(server), command, *arguments)

    def _settings(self, server: str) -> ServerSettings:
        return self._servers[known_server(server, list(self._servers))]

    def _all(
        self, server: str | None, command: Command, *arguments: bytes, parse: Callable[[bytes], _T]
    ) -> Replies[_T]:
        return self._each(server, lambda settings: parse(self._ask(settings, command, *arguments)))

    def _each(self, server: str | None, question: Callable[[ServerSettings], _T]) -> Replies[_T]:
        servers = list(self._servers.values()) if server is None else [self._settings(server)]
        answers: dict[str, _T] = {}
        failures: dict[str, GearpoolError] = {}

        def ask(settings: ServerSettings) -> None:
            try:
                answers[str(settings)] = question(settings)
            except GearpoolError as error:
                failures[str(settings)] = error

        others = [threading.Thread(target=ask, args=(settings,), daemon=True) for settings in servers[1:]]
        for thread in others:
            thread.start()
        ask(servers[0])
        for thread in others:
            thread.join()
        return collect([str(settings) for settings in servers], answers, failures)

    def _drop(self, settings: ServerSettings, name: bytes) -> str:
        deadline = Deadline.after(self._timeout)  # for both questions together
        check_empty(self._ask(settings, Command.STATUS, deadline=deadline), name, str(settings))
        return wire.parse_ok(self._ask(settings, Command.DROP_FUNCTION, name, deadline=deadline))

    def _ask(
        self, settings: ServerSettings, command: Command, *arguments: bytes, deadline: Deadline | None = None
    ) -> bytes:
        line = wire.request(command, *arguments)
        deadline = deadline or Deadline.after(self._timeout)
        sock = connect(settings, deadline, modules=self._modules, greet=False)
        try:
            return _exchange(sock, line, Reading(command, str(settings), self._max_reply), deadline)
        finally:
            close(sock)


def _exchange(sock: Any, line: bytes, reading: Reading, deadline: Deadline) -> bytes:
    try:
        sock.settimeout(deadline.remaining() or 0.001)
        sock.sendall(line)
        while True:
            sock.settimeout(deadline.remaining() or 0.001)
            reply = reading.reply(sock.recv(65536))
            if reply is not None:
                return reply
            if deadline.expired():  # it sends on and on, and never an end
                raise TimeoutError
    except OSError as error:
        raise reading.failed(error) from error
