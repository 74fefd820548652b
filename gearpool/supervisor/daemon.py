"""The daemon: checks the configuration, starts children, serves signals and operators, leaves in order. Floor 4.

Law: it decides and delegates; it holds no job and imports no handler. Whatever happens to a child happens to that child
alone.
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

from gearpool import logs
from gearpool.settings import Settings
from gearpool.supervisor import recycling, report
from gearpool.supervisor.channel import Message
from gearpool.supervisor.checking import Check, Verdict
from gearpool.supervisor.child import Child
from gearpool.supervisor.guard import Guard
from gearpool.supervisor.keeper import Keeper
from gearpool.supervisor.killing import Killing
from gearpool.supervisor.listening import CannotListenError, ControlSocket
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.manager import Manager
from gearpool.supervisor.notify import Notifier
from gearpool.supervisor.options import Options
from gearpool.supervisor.pool import Hooks, Pool
from gearpool.supervisor.questions import Questions
from gearpool.supervisor.reaping import reap
from gearpool.supervisor.recycling import Recycler
from gearpool.supervisor.reloading import CONFIGURATION, Reloader
from gearpool.supervisor.requests import Requests
from gearpool.supervisor.starting import Starts
from gearpool.supervisor.states import DAEMON, Event, Life, advance

LEAVE_S = 2.8
"""After the drain deadline everything has gone within so many seconds: workers first, then the job server."""
LEAST_S = 0.4
"""What the job server has to close its store, however late the workers were."""

UNCLEAN = 1
INTERNAL = 70
CANNOT_CREATE = 73
_TELLING = frozenset({69, 73, 75, 77, 78})
"""Exit codes of a child that say more than that it failed."""

log = logging.getLogger("gearpool.supervisor")


class Daemon:
    """One daemon: `run` it once.

    Attributes:
        life: where it is in its life.
        started: when, as `time.time` has it.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.life = Life.CHECKING
        self.started = time.time()
        self.loop = Loop()
        self.notifier = Notifier()
        hooks = Hooks(self._on_message, self._on_ready, self._on_gone, self._on_crash_loop)
        self.starts = Starts(self.loop, options.start_s)
        self.pool = Pool(self.loop, options.programs.worker, self.starts, hooks)
        self.keeper = Keeper(
            self.loop, options.programs.jobserver, self.starts, self._on_crash_loop, options.silent_kill_s
        )
        self.manager = Manager(self)
        self.guard = Guard(self.loop, self.pool.all, self.pool.settings_of, lambda _: self.manager.stalled())
        self.recycler = Recycler(self.loop, self.pool)
        self.questions = Questions(self.loop, self.pool, self.guard)
        self.killing = Killing(self.loop, self.pool, self.questions)
        self.reloader = Reloader(self)
        self._first_check: Check | None = None
        self._control: ControlSocket | None = None
        self._exit = 0

    def run(self) -> int:
        """Run until told to leave.

        Returns:
            The exit code: 0 after a clean drain, 1 if jobs had to be cut off, 70 after a crash loop or an internal
            failure, 73 if a socket could not be made, 78 if the configuration cannot be used.
        """
        for number, call in self._signals().items():
            self.loop.on_signal(number, call)
        self.manager.starting()
        try:
            try:
                self._first_check = Check(self.loop, self.options.check, self.starts, self._checked)
            except OSError as error:
                logs.emit(log, logging.ERROR, "daemon.start_failed", f"cannot start the checker: {error}")
                return INTERNAL
            self.loop.run()
        finally:
            if self._control is not None:
                self._control.close()
            for child in self.pool.all():
                child.kill("the supervisor leaves")
            self.loop.close()
        return self._exit

    def go(self, event: Event) -> None:
        """Go on in life."""
        self.life = advance(DAEMON, self.life, event)

    # -- start

    def _checked(self, verdict: Verdict) -> None:
        self._first_check = None
        settings = verdict.settings
        if settings is None:
            # As `gearpool check` prints them: FILE:LINE:COLUMN first, for people and editors.
            # A stderr that is full or whose reader has gone keeps nobody from leaving, nor changes the exit code.
            for problem in verdict.problems:
                with contextlib.suppress(OSError):
                    os.write(2, problem.encode("utf-8", "backslashreplace") + b"\n")
            self._fail(INTERNAL if verdict.internal else CONFIGURATION)
            return
        logs.configure(settings.log)
        self.warn(verdict)
        self.reloader.code = verdict.code
        self.go(Event.CHECKED)
        try:
            serve = Requests(self).serve
            self._control = ControlSocket(self.loop, self.options.path, settings.control, serve)
        except CannotListenError as error:
            self._start_failed([str(error)], CANNOT_CREATE)
            return
        closed = self._control.closed_to_group
        if closed is not None:
            text = (
                f"members of the group {settings.control.group} cannot reach {self._control.path}, since {closed} is "
                "closed to them; name another place by control.socket"
            )
            logs.emit(log, logging.WARNING, "control.unreachable", text)
        if settings.embedded is not None:
            self.keeper.start(settings, lambda: self._start_workers(settings), self._start_failed)
        else:
            self._start_workers(settings)

    def _start_workers(self, settings: Settings) -> None:
        if self.life is Life.STARTING:
            self.guard.start()
            self.pool.introduce(settings, self._started, self._start_failed)

    def _started(self) -> None:
        self.go(Event.READY)
        self.recycler.start()
        settings = self.pool.settings
        assert settings is not None
        enabled = sum(function.enabled for function in settings.functions)
        logs.emit(
            log,
            logging.INFO,
            "daemon.ready",
            f"serving {', '.join(map(str, settings.servers))}; functions: {enabled}, worker processes: {self.pool.wanted}",
            **report.files(self),
        )
        self.manager.started()
        self.reloader.catch_up()

    def _start_failed(self, problems: list[str], code: int | None) -> None:
        if self.life is not Life.STARTING:
            return
        logs.emit(log, logging.ERROR, "daemon.start_failed", "; ".join(problems))
        self._fail(code if code in _TELLING else INTERNAL)

    # -- leaving

    def _fail(self, code: int | None) -> None:
        self._exit = code or INTERNAL
        self.stop(0.0)

    def stop(self, within_s: float | None = None, hint: str = "") -> None:
        """Drain and leave, within ``drain_timeout`` unless told otherwise; idempotent. ``hint`` ends what is logged."""
        if self.life in {Life.DRAINING, Life.STOPPED}:
            return
        self.go(Event.STOP)
        if self._first_check is not None:
            self._first_check.cancel()
        self.recycler.stop()
        self.reloader.abandon()
        seconds = within_s if within_s is not None else self.pool.drain_timeout_s
        if not self._exit:
            jobs = report.in_progress(self)
            logs.emit(
                log, logging.INFO, "daemon.draining", f"stopping within {seconds:g} s; jobs in progress: {jobs}{hint}"
            )
        self.manager.stopping()
        end = time.monotonic() + seconds + LEAVE_S
        self.pool.drain(seconds, lambda: self.keeper.stop(max(LEAST_S, end - time.monotonic()), self._gone))

    def hasten(self) -> None:
        """The drain deadline is now."""
        self.stop()
        logs.emit(log, logging.WARNING, "daemon.hastened", "ending the running jobs now")
        self.pool.hasten()

    def _gone(self) -> None:
        self.go(Event.EMPTY)
        if self.pool.unclean and not self._exit:
            self._exit = UNCLEAN
        logs.emit(log, logging.INFO, "daemon.stopped", "gearpool has stopped", exit_code=self._exit)
        self.guard.stop()
        self.loop.stop()

    # -- children

    def _on_message(self, child: Child, message: Message) -> None:
        event = message.get("event")
        if event == "reply":
            self.questions.answered(child, message)
        elif event == "draining":
            logs.emit(
                log,
                logging.INFO,
                "worker.draining",
                f"worker {child.pid} waits for {message.get('left')} jobs",
                worker=child.pid,
                left=message.get("left"),
                waiting_for=message.get("waiting_for"),
            )

    def _on_ready(self, child: Child) -> None:
        fresh = child.memory_bytes()
        self.recycler.fresh_bytes = max(self.recycler.fresh_bytes, fresh)
        self.manager.replaced()
        too_small = recycling.refusal(self.pool.settings_of(child), fresh)
        if too_small and self.life in {Life.STARTING, Life.RELOADING}:
            self.pool.give_up([too_small], CONFIGURATION)

    def _on_gone(self, child: Child) -> None:
        self.guard.forget(child)
        self.recycler.forget(child)
        self.questions.gone(child)

    def _on_crash_loop(self) -> None:
        if self.life in {Life.DRAINING, Life.STOPPED}:
            return
        text = "child processes die again and again, giving up; their last errors are above"
        logs.emit(log, logging.ERROR, "daemon.crash_loop", text)
        self._exit = INTERNAL
        self.stop()

    def _reap_children(self) -> None:
        self.pool.reap()
        self.keeper.reap()
        for check in (self._first_check, self.reloader.check):
            if check is not None:
                check.reap()

    def _pids(self) -> set[int]:
        others = (self.keeper.child, self._first_check, self.reloader.check)
        return {child.pid for child in (*self.pool.all(), *others) if child is not None}

    # -- signals

    def _signals(self) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self._interrupted,
            signal.SIGQUIT: self.hasten,
            signal.SIGHUP: self.reloader.ask,
            signal.SIGTSTP: lambda: self.be_quiet(True),
            signal.SIGCONT: lambda: self.be_quiet(False),
            signal.SIGTTIN: lambda: self.resize(+1),
            signal.SIGTTOU: lambda: self.resize(-1),
            signal.SIGUSR1: self._log_stacks,
            signal.SIGCHLD: lambda: reap(self._reap_children, self._pids),
        }

    def _interrupted(self) -> None:
        if self.life is Life.DRAINING:
            self.hasten()
        else:
            self.stop(hint="; Ctrl-C or INT once more ends them now")

    def be_quiet(self, quiet: bool) -> None:
        """Take no more jobs, or go on."""
        if quiet != self.pool.quiet:
            logs.emit(log, logging.INFO, "daemon.quiet" if quiet else "daemon.resumed")
            self.pool.be_quiet(quiet)

    def resize(self, step: int) -> None:
        """So many processes more, or fewer."""
        if self.life in {Life.RUNNING, Life.RELOADING}:
            self.pool.resize(self.pool.wanted + step)
            logs.emit(log, logging.INFO, "daemon.resized", f"{self.pool.wanted} processes wanted")

    def set_log_level(self, settings: Settings, level: Any) -> None:
        """Log ``level`` and above, here and in every child, until the next reload."""
        changed = dataclasses.replace(settings, log=dataclasses.replace(settings.log, level=level))
        self.pool.apply(changed)
        self.use_log(changed)

    def warn(self, verdict: Verdict) -> None:
        """Log what the checker thinks may bite."""
        for warning in verdict.warnings:
            logs.emit(log, logging.WARNING, "configuration.warning", warning)

    def use_log(self, settings: Settings) -> None:
        """Log as these settings say, here and in the job server; the workers are told by the pool."""
        logs.configure(settings.log)
        if self.keeper.child is not None:
            self.keeper.child.send({"do": "log-level", "level": settings.log.level})

    def _log_stacks(self) -> None:
        def log_them(answers: list[Message]) -> None:
            for answer in answers:
                rows = answer.pop("result", None) or []
                logs.emit(log, logging.INFO, "worker.stacks", f"{len(rows)} jobs in progress", **answer)
                for row in rows:
                    logs.emit(log, logging.INFO, "job.stack", worker=answer["worker"], **row)

        self.questions.ask("stacks", log_them)
