"""Executes the supervisor's commands in a worker process, and reports the worker's status to it. Floor 4.

Invariant: a query is answered by a reply with its id, and an error in a command never ends the process.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
import traceback
from typing import Any

import gevent
from gevent.event import Event

from gearpool import logs, messages
from gearpool.children.channel import Channel
from gearpool.figures import Figures
from gearpool.messages import Command, Query
from gearpool.metrics import WorkerSnapshot
from gearpool.policy import explain
from gearpool.settings import Settings
from gearpool.timing import Deadline
from gearpool.worker import snapshots
from gearpool.worker.pool import WorkerPool
from gearpool.worker.stalls import Stalls
from gearpool.worker.suspects import Reported

log = logging.getLogger("gearpool.worker")

STATUS_EVERY_S = 1.0
REPORTS_EVERY_S = 0.02
"""At least between two reports of what is sent at once: many new failures at the same time are sent together."""
FIRST_STATUS_EVERY_S = 0.1
FIRST_STATUSES = 10
"""Until the connections are made, the status changes quickly."""


class Commands:
    """Executes the commands to one worker process."""

    def __init__(self, pool: WorkerPool, channel: Channel, figures: Figures, stalls: Stalls) -> None:
        self._pool = pool
        self._channel = channel
        self._figures = figures
        self._stalls = stalls
        self._lag_s = 0.0
        self._done = Event()
        self._code = 0
        self._last: WorkerSnapshot = {}
        self._reports: list[messages.Event] = []
        self._reports_came = Event()
        pool.failures.on_new = self._reports_came.set
        pool.incarnations.on_learned = lambda name, pid: self._report(messages.ServerPid(name, pid))
        pool.suspects.on_server_lost = lambda server: self._report(messages.ServerLost(server))
        pool.suspects.on_reported = lambda job: self._report(messages.Reported([_printed(job)]))

    def run(self) -> int:
        """Execute commands until the process should exit; returns its exit code."""
        greenlets = [gevent.spawn(each) for each in (self._execute_all, self._send_statuses, self._send_reports)]
        while not self._done.is_set():
            try:
                self._done.wait()
            except SystemError:
                raise  # libev itself has failed: there is no event loop any more
            except BaseException as error:  # noqa: BLE001 - gevent raises SystemExit and the like in the main greenlet
                logs.emit(
                    log, logging.ERROR, "worker.stray_exception",
                    "a greenlet or signal handler that a handler left behind has raised an exception; the worker continues",
                    error=explain(error), exc_info=error,
                )  # fmt: skip
        gevent.killall(greenlets, block=False)
        return self._code

    def ask_to_be_replaced(self, reason: str) -> None:
        """Ask for a replacement, because this process can no longer serve well; may be called in the hub."""
        gevent.spawn(self._send, messages.ReplaceMe("stuck", reason))

    def _send(self, event: messages.Event) -> None:
        if not self._channel.send(event):
            self._done.set()

    def _execute_all(self) -> None:
        for command in self._channel.commands():
            self._execute(command)
        # Exit at once: the job servers will hand out the jobs again.
        logs.emit(log, logging.ERROR, "supervisor.gone", "the supervisor is gone; exiting")
        os._exit(1)

    def _execute(self, command: Command) -> None:
        try:
            if isinstance(command, Query):
                self._send(messages.Reply(command.id, self._answer(command)))
            else:
                self._do(command)
        except Exception as error:  # noqa: BLE001 - a failed command must not end the process
            text = f"{type(error).__name__}: {error}"
            logs.emit(log, logging.ERROR, "command.failed", text, command=repr(command)[:200])
            if isinstance(command, Query):
                self._send(messages.Reply(command.id, error=text))

    def _answer(self, query: Query) -> Any:
        match query:
            case messages.ListJobs():
                return snapshots.jobs(self._pool)
            case messages.ListStacks():
                return self._stacks()
            case messages.KillJob(handle=handle):
                return self._pool.kill(handle)
            case _:
                raise ValueError(f"a worker does not answer {query.name}")

    def _do(self, command: Command) -> None:
        pool = self._pool
        match command:
            case messages.Quiet():
                pool.quiet()
            case messages.Pause(function=function):
                pool.pause(function)
            case messages.Resume(function=name):
                pool.resume(name)
            case messages.Drain(seconds=seconds):
                gevent.spawn(self._drain, seconds)
            case messages.StopNow():
                pool.stop_now()
            case messages.Apply(settings=settings):
                self._apply(settings)
            case messages.SetLogLevel(level=level):
                logs.set_level(level)
            case messages.SetNotes(entries=entries, at_once=at_once):
                pool.suspects.set_notes(entries, at_once)
            case _:
                raise ValueError(f"a worker does not execute {command.name}")

    def _drain(self, seconds: float) -> None:
        clean = self._pool.stop(Deadline.after(seconds), lambda left, names: self._send(messages.Draining(left, names)))
        self._send_status()
        self._send_failures()
        self._send(messages.Drained(clean))
        self._done.set()

    def _apply(self, settings: Settings) -> None:
        logs.configure(settings.log)
        self._pool.running.log_jobs = settings.log.jobs
        self._pool.admission.limit = settings.concurrency
        for each in settings.functions:
            function = self._pool.functions.get(each.name)
            if function is not None:
                function.apply(each, settings.concurrency)
        if not self._pool.admission.quiet:
            self._pool.resume()  # there may be more slots now, or a gate may have opened

    def _stacks(self) -> list[dict[str, Any]]:
        rows = []
        for run in list(self._pool.running.runs.values()):
            job, frame = run.job, run.greenlet.gr_frame
            stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
            rows.append({"function": job.function, "handle": job.handle, "unique": job.unique, "stack": stack})
        return rows

    def _report(self, event: messages.Event) -> None:
        """Send soon: the caller may not block."""
        self._reports.append(event)
        self._reports_came.set()

    def _send_reports(self) -> None:
        while True:
            self._reports_came.wait()
            self._reports_came.clear()
            while self._reports:
                self._send(self._reports.pop(0))
            self._send_failures()
            gevent.sleep(REPORTS_EVERY_S)

    def _send_failures(self) -> None:
        failures = self._pool.failures.take()
        if failures is not None:
            self._send(failures)

    def _send_statuses(self) -> None:
        for number in itertools.count():
            self._send_status()
            self._send_failures()
            pause_s = FIRST_STATUS_EVERY_S if number < FIRST_STATUSES else STATUS_EVERY_S
            due = time.monotonic() + pause_s
            gevent.sleep(pause_s)
            # A timer that fires late has waited for whatever the event loop did instead.
            self._lag_s = max(0.0, time.monotonic() - due)

    def _send_status(self) -> None:
        snapshot = snapshots.snapshot(self._pool)
        self._figures.tell(time.monotonic(), max(self._lag_s, self._stalls.take_longest()))
        if snapshot != self._last:
            self._last = snapshot
            self._send(messages.WorkerStatus(snapshot))


def _printed(job: Reported) -> list[str]:
    function, server, identity = job
    return [function, server, identity.decode("utf-8", "surrogateescape")]
