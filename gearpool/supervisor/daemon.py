"""The daemon: checks the configuration, starts the children, serves signals and operators, drains and exits. Floor 4.

It wires the other modules together. It imports no handler, and the death of a child never affects another one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from gearpool import drain_times, exit_codes, logs, messages
from gearpool.messages import Event
from gearpool.page import Reading
from gearpool.settings import Settings
from gearpool.supervisor import recycling
from gearpool.supervisor.channel import Object
from gearpool.supervisor.checking import Check, CheckResult
from gearpool.supervisor.child import Child
from gearpool.supervisor.control_socket import CannotListenError, ControlSocket
from gearpool.supervisor.fleet import Fleet, FleetCallbacks
from gearpool.supervisor.guard import Guard
from gearpool.supervisor.job_server import JobServerChild
from gearpool.supervisor.killing import Killing
from gearpool.supervisor.lifecycle import Lifecycle
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.notify import Notifier
from gearpool.supervisor.options import Options
from gearpool.supervisor.reaping import reap
from gearpool.supervisor.recycling import Recycler
from gearpool.supervisor.reloading import Reloader
from gearpool.supervisor.report import Report
from gearpool.supervisor.requests import Requests
from gearpool.supervisor.service_manager import ServiceManager
from gearpool.supervisor.starting import StartupWatch
from gearpool.supervisor.states import DaemonEvent, DaemonState
from gearpool.supervisor.web_child import WebChild
from gearpool.supervisor.worker_queries import WorkerQueries

_SPECIFIC = frozenset(
    {
        exit_codes.NO_SERVER,
        exit_codes.CANNOT_CREATE,
        exit_codes.TIMED_OUT,
        exit_codes.NO_PERMISSION,
        exit_codes.CONFIGURATION,
    }
)
"""Exit codes of a child that the daemon passes on, because they name the cause."""

log = logging.getLogger("gearpool.supervisor")


class Daemon:
    """The daemon; call `run` once. It implements `requests.Operator` for its control socket."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lifecycle = Lifecycle()
        self._loop = Loop()
        callbacks = FleetCallbacks(self._on_event, self._on_ready, self._on_ended, self._on_crash_loop)
        self._startup = StartupWatch(self._loop, options.start_s)
        self._fleet = Fleet(self._loop, options.programs.worker, self._startup, callbacks)
        self._job_server = JobServerChild(
            self._loop, options.programs.jobserver, self._startup, self._on_crash_loop, options.silent_kill_s
        )
        self._guard = Guard(self._loop, self._fleet.all, self._fleet.settings_of, self._on_blocked)
        self._web = WebChild(
            self._loop,
            options.programs.web,
            self._startup,
            status=self._status,
            failures=self._fleet.failures,
            serve=self._serve,
            silent_kill_s=options.web_kill_s,
        )
        self._report = Report(options.path, self._lifecycle, self._fleet, self._job_server, self._web, self._guard)
        self._manager = ServiceManager(self._loop, Notifier(), self._lifecycle, self._fleet, self._report)
        self._recycler = Recycler(self._loop, self._fleet)
        self._queries = WorkerQueries(self._loop, self._fleet, self._guard)
        killing = Killing(self._loop, self._fleet, self._queries)
        self._requests = Requests(self, self._fleet, self._report, self._queries, killing, self._recycler)
        self._reloader = Reloader(
            self._start_check,
            options.folder,
            lifecycle=self._lifecycle,
            fleet=self._fleet,
            recycler=self._recycler,
            report=self._report,
            service_manager=self._manager,
            web=self._web,
            on_reloaded=self._on_reloaded,
        )
        self._first_check: Check | None = None
        self._control: ControlSocket | None = None
        self._exit = 0

    def run(self) -> int:
        """Run until asked to stop.

        Returns:
            The exit code: 0 after a clean drain, 1 if jobs had to be cut off, 70 after a crash loop or an internal
            failure, 73 if a socket could not be made, 78 if the configuration cannot be used.
        """
        for number, call in self._signals().items():
            self._loop.on_signal(number, call)
        self._manager.starting()
        try:
            try:
                self._first_check = self._start_check(self._checked)
            except OSError as error:
                logs.emit(log, logging.ERROR, "daemon.start_failed", f"cannot start the checker: {error}")
                return exit_codes.INTERNAL
            self._loop.run()
        finally:
            if self._control is not None:
                self._control.close()
            for child in self._fleet.all():
                child.kill("the supervisor exits")
            self._web.close()
            self._loop.close()
        return self._exit

    # -- start

    def _start_check(self, done: Callable[[CheckResult], object]) -> Check:
        return Check(self._loop, self._options.check, self._startup, done)

    def _checked(self, result: CheckResult) -> None:
        self._first_check = None
        settings = result.settings
        if settings is None:
            # As `gearpool check` prints them, FILE:LINE:COLUMN first. A stderr that is full or closed must neither
            # keep the daemon from exiting nor change its exit code.
            for problem in result.problems:
                with contextlib.suppress(OSError):
                    os.write(2, problem.encode("utf-8", "backslashreplace") + b"\n")
            self._fail(exit_codes.INTERNAL if result.internal else exit_codes.CONFIGURATION)
            return
        logs.configure(settings.log)
        self._warn(result)
        self._reloader.code = result.code
        self._lifecycle.advance(DaemonEvent.CHECKED)
        try:
            self._control = ControlSocket(self._loop, self._options.path, settings.control, self._requests.serve)
            self._web.start(settings)
        except CannotListenError as error:
            self._start_failed([str(error)], exit_codes.CANNOT_CREATE)
            return
        closed = self._control.closed_to_group
        if closed is not None:
            text = (
                f"members of group {settings.control.group} cannot reach {self._control.path} because they may not "
                f"enter {closed}; set control.socket to a path in a directory that they may enter"
            )
            logs.emit(log, logging.WARNING, "control.unreachable", text)
        if settings.embedded is not None:
            self._job_server.start(settings, lambda: self._start_workers(settings), self._start_failed)
        else:
            self._start_workers(settings)

    def _start_workers(self, settings: Settings) -> None:
        if self._lifecycle.state is DaemonState.STARTING:
            self._guard.start()
            self._fleet.roll_out(settings, self._started, self._start_failed)

    def _started(self) -> None:
        self._lifecycle.advance(DaemonEvent.READY)
        self._recycler.start()
        settings = self._fleet.settings
        assert settings is not None
        enabled = sum(function.enabled for function in settings.functions)
        servers = ", ".join(map(str, settings.servers))
        text = f"serving {servers}; functions: {enabled}, worker processes: {self._fleet.wanted}"
        logs.emit(log, logging.INFO, "daemon.ready", text, **self._report.files)
        self._manager.started()
        self._reloader.catch_up()

    def _start_failed(self, problems: list[str], code: int | None) -> None:
        if self._lifecycle.state is not DaemonState.STARTING:
            return
        logs.emit(log, logging.ERROR, "daemon.start_failed", "; ".join(problems))
        self._fail(code if code in _SPECIFIC else exit_codes.INTERNAL)

    # -- stop

    def _fail(self, code: int | None) -> None:
        self._exit = code or exit_codes.INTERNAL
        self.stop(0.0)

    def stop(self, within_s: float | None = None, hint: str = "") -> None:
        """Drain and exit, by default within ``drain_timeout``; idempotent. ``hint`` is appended to the log message."""
        if self._lifecycle.stopping:
            return
        self._lifecycle.advance(DaemonEvent.STOP)
        if self._first_check is not None:
            self._first_check.cancel()
        self._recycler.stop()
        self._reloader.stop()
        seconds = within_s if within_s is not None else self._fleet.drain_timeout_s
        if not self._exit:
            jobs = self._report.in_progress
            text = f"draining for at most {seconds:g} s; jobs in progress: {jobs}{hint}"
            logs.emit(log, logging.INFO, "daemon.draining", text)
        self._manager.stopping()
        end = time.monotonic() + seconds + drain_times.DAEMON_S

        def stop_job_server() -> None:
            kill_s = max(drain_times.MIN_CLOSE_S, end - drain_times.WEB_S - time.monotonic())
            self._job_server.stop(kill_s, stop_web)

        def stop_web() -> None:
            self._web.stop(max(drain_times.WEB_S, end - time.monotonic()), self._on_stopped)

        self._fleet.drain(seconds, stop_job_server)

    def stop_now(self) -> None:
        """End the drain now: cut off the jobs that still run."""
        self.stop()
        logs.emit(log, logging.WARNING, "daemon.hastened", "ending the running jobs now")
        self._fleet.stop_now()

    def _on_stopped(self) -> None:
        self._lifecycle.advance(DaemonEvent.EMPTY)
        if self._fleet.unclean and not self._exit:
            self._exit = exit_codes.FAILED
        logs.emit(log, logging.INFO, "daemon.stopped", "gearpool has stopped", exit_code=self._exit)
        self._guard.stop()
        self._loop.stop()

    # -- children

    def _on_event(self, child: Child, event: Event) -> None:
        if isinstance(event, messages.Reply):
            self._queries.answered(child, event)
        elif isinstance(event, messages.Draining):
            text = f"worker {child.pid} is draining; jobs in progress: {event.left}"
            fields = {"worker": child.pid, "left": event.left, "waiting_for": event.waiting_for}
            logs.emit(log, logging.INFO, "worker.draining", text, **fields)

    def _on_ready(self, child: Child) -> None:
        fresh = child.memory_bytes()
        self._recycler.fresh_bytes = max(self._recycler.fresh_bytes, fresh)
        self._manager.replaced()
        too_small = recycling.refusal(self._fleet.settings_of(child), fresh)
        if too_small and self._lifecycle.state in {DaemonState.STARTING, DaemonState.RELOADING}:
            self._fleet.cancel_rollout([too_small], exit_codes.CONFIGURATION)

    def _on_blocked(self, child: Child, reading: Reading, stacks: str) -> None:
        """A worker is killed because it is blocked."""
        self._fleet.count_killed_stall(child, reading, stacks, self._guard.stalled_s(child))
        self._manager.stalled()

    def _on_ended(self, child: Child) -> None:
        self._guard.forget(child)
        self._recycler.forget(child)
        self._queries.child_ended(child)

    def _on_crash_loop(self) -> None:
        if self._lifecycle.stopping:
            return
        text = "child processes keep crashing; shutting down. Their last errors are above"
        logs.emit(log, logging.ERROR, "daemon.crash_loop", text)
        self._exit = exit_codes.INTERNAL
        self.stop()

    def _status(self) -> Object:
        return dict(self._report.status())

    def _serve(self, message: Object, reply: Callable[[Object], None]) -> None:
        self._requests.serve(message, reply)

    def _reap_children(self) -> None:
        self._fleet.reap()
        self._job_server.reap()
        self._web.reap()
        for check in (self._first_check, self._reloader.check):
            if check is not None:
                check.reap()

    def _pids(self) -> set[int]:
        others = (self._job_server.child, self._first_check, self._reloader.check)
        return {child.pid for child in (*self._fleet.all(), *self._web.children, *others) if child is not None}

    # -- signals

    def _signals(self) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self._interrupted,
            signal.SIGQUIT: self.stop_now,
            signal.SIGHUP: self._reloader.ask,
            signal.SIGTSTP: lambda: self.set_quiet(True),
            signal.SIGCONT: lambda: self.set_quiet(False),
            signal.SIGTTIN: lambda: self.resize(+1),
            signal.SIGTTOU: lambda: self.resize(-1),
            signal.SIGUSR1: self._log_stacks,
            signal.SIGCHLD: lambda: reap(self._reap_children, self._pids),
        }

    def _interrupted(self) -> None:
        if self._lifecycle.state is DaemonState.DRAINING:
            self.stop_now()
        else:
            self.stop(hint="; press Ctrl-C or send INT again to end them now")

    def set_quiet(self, quiet: bool) -> None:
        """See `requests.Operator`."""
        if quiet != self._fleet.quiet:
            logs.emit(log, logging.INFO, "daemon.quiet" if quiet else "daemon.resumed")
            self._fleet.set_quiet(quiet)

    def resize(self, step: int) -> None:
        """Change the number of worker processes by ``step``."""
        if self._lifecycle.state in {DaemonState.RUNNING, DaemonState.RELOADING}:
            self._fleet.resize(self._fleet.wanted + step)
            logs.emit(log, logging.INFO, "daemon.resized", f"changing to {self._fleet.wanted} worker processes")

    def set_log_level(self, settings: Settings, level: Any) -> None:
        """See `requests.Operator`."""
        changed = dataclasses.replace(settings, log=dataclasses.replace(settings.log, level=level))
        self._fleet.apply(changed)
        self._use_log(changed)

    def reload(self, reply: Callable[[list[str]], object]) -> None:
        """See `requests.Operator`."""
        self._reloader.ask(reply)

    def _on_reloaded(self, result: CheckResult, settings: Settings) -> None:
        """Called when a reload has put these settings into effect."""
        self._use_log(settings)
        self._warn(result)

    @staticmethod
    def _warn(result: CheckResult) -> None:
        for warning in result.warnings:
            logs.emit(log, logging.WARNING, "configuration.warning", warning)

    def _use_log(self, settings: Settings) -> None:
        """Apply the log settings here, in the job server and the web child; the fleet sends them to the workers."""
        logs.configure(settings.log)
        self._web.set_log_level(settings.log.level)
        if self._job_server.child is not None:
            self._job_server.child.send(messages.SetLogLevel(settings.log.level))

    def _log_stacks(self) -> None:
        def log_them(answers: list[Object]) -> None:
            for answer in answers:
                rows = answer.pop("result", None) or []
                logs.emit(log, logging.INFO, "worker.stacks", f"jobs in progress: {len(rows)}", **answer)
                for row in rows:
                    logs.emit(log, logging.INFO, "job.stack", worker=answer["worker"], **row)

        self._queries.ask(messages.ListStacks, log_them)
