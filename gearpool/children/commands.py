"""What the supervisor may ask of a worker process, and what that tells by itself. Floor 4.

Law: JSON, an object a line. A command with an ``id`` is answered with a ``reply`` of that id; none may stop the process.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import traceback
from typing import Any

import gevent
import gevent.socket
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from gearpool import logs
from gearpool.policy import explain
from gearpool.settings import Settings, from_json
from gearpool.timing import Deadline
from gearpool.worker import snapshots
from gearpool.worker.interrupts import Interrupts
from gearpool.worker.pool import Pool
from gearpool.worker.suspects import Reported

log = logging.getLogger("gearpool.worker")

STATUS_EVERY_S = 1.0
STATUS_AT_FIRST_S = 0.1
"""As often it is told for the first ten times: until the connections stand, what is told is soon out of date."""


class Commands:
    """The channel of one worker process."""

    def __init__(self, pool: Pool, channel: socket.socket, settings: Settings, interrupts: Interrupts) -> None:
        self._pool = pool
        self._settings = settings
        self._interrupts = interrupts
        # gevent's own socket, whether or not the process is patched.
        self._channel = gevent.socket.socket(channel.family, channel.type, channel.proto, fileno=channel.detach())
        # Several greenlets speak. The supervisor may not read for a while; then they wait, one behind the other.
        self._speaking = BoundedSemaphore()
        self._left = Event()
        self._code = 0
        self._last: dict[str, Any] = {}
        self._reports: list[dict[str, Any]] = []
        self._reporting = Event()
        pool.incarnations.on_learned = lambda name, pid: self._report(
            {"event": "server_pid", "server": name, "pid": pid}
        )
        pool.suspects.on_server_lost = lambda server: self._report({"event": "server_lost", "server": server})
        pool.suspects.on_reported = lambda job: self._report({"event": "reported", "jobs": [_printed(job)]})

    @property
    def descriptor(self) -> int:
        """The channel's."""
        return int(self._channel.fileno())

    def run(self, rest: bytes) -> int:
        """Obey until the process is to leave; returns its exit code."""
        reader = gevent.spawn(self._read, rest)
        teller = gevent.spawn(self._tell)
        reporter = gevent.spawn(self._send_reports)
        while not self._left.is_set():
            try:
                self._left.wait()
            except SystemError:
                raise  # libev itself: there is no event loop any more
            except BaseException as error:  # noqa: BLE001 - gevent hands the main greenlet what would end a program
                logs.emit(
                    log, logging.ERROR, "worker.stray_exception",
                    "raised by a greenlet or a signal handler that a handler has left behind; the worker goes on",
                    error=explain(error), exc_info=error,
                )  # fmt: skip
        gevent.killall([reader, teller, reporter], block=False)
        return self._code

    def send(self, message: dict[str, Any]) -> None:
        """Send one object up; an absent supervisor is no error, its end is seen by the reader."""
        line = json.dumps(message, default=str).encode("utf-8", "backslashreplace") + b"\n"
        try:
            with self._speaking:
                self._channel.sendall(line)
        except OSError:
            self._left.set()

    def ask_to_be_replaced(self, reason: str) -> None:
        """This process serves badly from now on; may be called in the hub."""
        gevent.spawn(self.send, {"event": "recycle", "reason": "stuck", "detail": reason})

    def _read(self, rest: bytes) -> None:
        data = rest
        while True:
            while b"\n" in data:
                line, _, data = data.partition(b"\n")
                self._obey(line)
            try:
                more = self._channel.recv(1 << 16)
            except OSError:
                more = b""
            if not more:
                # The supervisor is gone: leave at once, the servers hand out our jobs again.
                logs.emit(log, logging.ERROR, "supervisor.gone", "the supervisor is gone; leaving")
                os._exit(1)
            data += more

    def _obey(self, line: bytes) -> None:
        number = None
        try:
            command = json.loads(line)
            number = command.get("id")
            result = self._do(command.pop("do"), command)
        except Exception as error:  # noqa: BLE001 - a command that fails must not end the process
            logs.emit(log, logging.ERROR, "command.failed", f"{type(error).__name__}: {error}", command=line[:200])
            if number is not None:
                self.send({"event": "reply", "id": number, "error": f"{type(error).__name__}: {error}"})
            return
        if number is not None:
            self.send({"event": "reply", "id": number, "result": result})

    def _do(self, verb: str, command: dict[str, Any]) -> Any:
        pool = self._pool
        name = command.get("function")
        match verb:
            case "quiet":
                pool.hush()
            case "pause":
                pool.pause(str(name))
            case "resume" if name is not None:
                pool.unpause(str(name))
            case "resume":
                pool.resume()
            case "resize":
                pool.resize(str(name), int(command["concurrency"]))
            case "drain":
                gevent.spawn(self._drain, float(command["seconds"]))
            case "hasten":
                pool.hasten()
            case "apply":
                self._apply(from_json(Settings, command["settings"]))
            case "jobs":
                return snapshots.jobs(pool)
            case "kill":
                return pool.kill(str(command["handle"]))
            case "stacks":
                return self._stacks()
            case "log-level":
                logs.set_level(str(command["level"]))
            case "poison":
                pool.suspects.take_down(command["entries"], command["at_once"])
            case "ping":
                return "pong"
            case _:
                raise ValueError(f"unknown command {verb!r}")
        return True

    def _drain(self, seconds: float) -> None:
        clean = self._pool.stop(Deadline.after(seconds), self._draining)
        self._tell_now()
        self.send({"event": "drained", "clean": clean})
        self._left.set()

    def _draining(self, left: int, names: list[str]) -> None:
        self.send({"event": "draining", "left": left, "waiting_for": names})

    def _apply(self, settings: Settings) -> None:
        self._settings = settings
        logs.configure(settings.log)
        self._pool.log_jobs = settings.log.jobs
        self._pool.slots.limit = settings.concurrency
        for each in settings.functions:
            function = self._pool.functions.get(each.name)
            if function is not None:
                function.apply(each, settings.concurrency)
        if not self._pool.quiet:
            self._pool.resume()  # there may be more slots now, or a gate may be open

    def _stacks(self) -> list[dict[str, Any]]:
        rows = []
        for run in list(self._pool.runs.values()):
            frame = run.greenlet.gr_frame
            rows.append(
                {
                    "function": run.job.function,
                    "handle": run.job.handle,
                    "unique": run.job.unique,
                    "stack": "".join(traceback.format_stack(frame)) if frame is not None else "",
                }
            )
        return rows

    def _tell(self) -> None:
        for _ in range(10):
            self._tell_now()
            gevent.sleep(STATUS_AT_FIRST_S)
        while True:
            self._tell_now()
            gevent.sleep(STATUS_EVERY_S)

    def _report(self, message: dict[str, Any]) -> None:
        """Send soon: whoever calls may not wait."""
        self._reports.append(message)
        self._reporting.set()

    def _send_reports(self) -> None:
        while True:
            self._reporting.wait()
            self._reporting.clear()
            while self._reports:
                self.send(self._reports.pop(0))

    def _tell_now(self) -> None:
        snapshot = snapshots.snapshot(self._pool)
        snapshot["stalls"] = dict(self._interrupts.stalls)
        if snapshot != self._last:
            self._last = snapshot
            self.send({"event": "status", **snapshot})


def _printed(job: Reported) -> list[str]:
    function, server, identity = job
    return [function, server, identity.decode("utf-8", "surrogateescape")]
