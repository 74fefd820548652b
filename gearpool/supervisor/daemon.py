"""The daemon: checks the configuration, starts children, serves signals and operators, leaves in order. Floor 4.

Law: it decides and delegates; it holds no job and imports no handler. Whatever happens to a child happens to that child
alone.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gearpool import logs
from gearpool.settings import Settings
from gearpool.supervisor import changes, recycling
from gearpool.supervisor.channel import Message
from gearpool.supervisor.checking import Check, Verdict
from gearpool.supervisor.child import Child
from gearpool.supervisor.guard import Guard
from gearpool.supervisor.keeper import Keeper
from gearpool.supervisor.listening import CannotListenError, ControlSocket
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.notify import Notifier
from gearpool.supervisor.pool import Hooks, Pool
from gearpool.supervisor.questions import Questions
from gearpool.supervisor.recycling import Recycler
from gearpool.supervisor.requests import Requests
from gearpool.supervisor.states import DAEMON, Event, Life, Stage, advance
from gearpool.supervisor.totals import jobs_run

UNCLEAN = 1
INTERNAL = 70
CANNOT_CREATE = 73
CONFIGURATION = 78
_TELLING = frozenset({69, 73, 75, 77, 78})
"""Exit codes of a child that say more than that it failed."""

START_S = 120.0
"""A child that is not ready after this long never will be."""
EXTEND_S = 5.0
STATUS_S = 5.0

log = logging.getLogger("gearpool.supervisor")


@dataclass(frozen=True)
class Programs:
    """The argv of each kind of child; descriptors are appended as ``--channel FD --page FD``."""

    checker: Sequence[str] = (sys.executable, "-m", "gearpool.children.checker")
    worker: Sequence[str] = (sys.executable, "-m", "gearpool.children.worker")
    jobserver: Sequence[str] = (sys.executable, "-m", "gearpool.children.jobserver")


@dataclass(frozen=True)
class Options:
    """What the command line says. ``overrides`` are passed on to the checker, at the start and at every reload."""

    path: str
    overrides: Sequence[str] = ()
    programs: Programs = field(default_factory=Programs)
    start_s: float = START_S


class Daemon:
    """One daemon: `run` it once."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._life = Life.CHECKING
        self._exit = 0
        self._loop = Loop()
        self._check: Check | None = None
        self._code = ""
        self._reload_again = False
        self._reload_replies: list[Callable[[list[str]], object]] = []
        self._control: ControlSocket | None = None
        self._extending: Timer | None = None
        self._status_line = ""
        self._unreplaced = 0
        self._notifier = Notifier()
        self.started = time.time()
        self.reloads = {"ok": 0, "failed": 0}
        self.pool = Pool(
            self._loop,
            options.programs.worker,
            Hooks(self._on_message, self._on_ready, self._on_gone, self._on_crash_loop),
        )
        self.keeper = Keeper(self._loop, options.programs.jobserver, self._on_crash_loop)
        self.guard = Guard(self._loop, self.pool.all, self.pool.settings_of, self._on_stall_kill)
        self.recycler = Recycler(self._loop, self.pool)
        self.questions = Questions(self._loop, self.pool, self.guard)

    @property
    def life(self) -> Life:
        """Where the daemon is in its life."""
        return self._life

    @property
    def path(self) -> str:
        """The configuration file."""
        return self._options.path

    def run(self) -> int:
        """Run until told to leave.

        Returns:
            The exit code: 0 after a clean drain, 1 if jobs had to be cut off, 70 after a crash loop or an internal
            failure, 73 if a socket could not be made, 78 if the configuration cannot be used.
        """
        for number, call in self._signals().items():
            self._loop.on_signal(number, call)
        self._check = Check(self._loop, self._check_argv(), self._checked_first)
        self._extend_start()
        try:
            self._loop.run()
        finally:
            if self._control is not None:
                self._control.close()
            for child in self.pool.all():
                child.kill("the supervisor leaves")
            self._loop.close()
        return self._exit

    # -- start

    def _check_argv(self) -> list[str]:
        return [*self._options.programs.checker, "-c", self._options.path, *self._options.overrides]

    def _checked_first(self, verdict: Verdict) -> None:
        self._check = None
        settings = verdict.settings
        if settings is None:
            # As `gearpool check` prints them: FILE:LINE:COLUMN first, for people and editors.
            for problem in verdict.problems:
                print(problem, file=sys.stderr)
            self._fail(INTERNAL if verdict.internal else CONFIGURATION)
            return
        logs.configure(settings.log)
        self._code = verdict.code
        self._life = advance(DAEMON, self._life, Event.CHECKED)
        try:
            serve = Requests(self).serve
            self._control = ControlSocket(self._loop, self._options.path, settings.control.socket, serve)
        except CannotListenError as error:
            self._start_failed([str(error)], CANNOT_CREATE)
            return
        self._loop.later(self._options.start_s, self._start_overdue)
        if settings.embedded is not None:
            self.keeper.start(settings, lambda: self._start_workers(settings), self._start_failed)
        else:
            self._start_workers(settings)

    def _start_workers(self, settings: Settings) -> None:
        if self._life is Life.STARTING:
            self.guard.start()
            self.pool.introduce(settings, self._started, self._start_failed)

    def _started(self) -> None:
        self._life = advance(DAEMON, self._life, Event.READY)
        self.recycler.start()
        settings = self.pool.settings
        assert settings is not None
        logs.emit(
            log,
            logging.INFO,
            "daemon.ready",
            f"serving {len(settings.functions)} functions of {', '.join(map(str, settings.servers))} "
            f"with {self.pool.wanted} processes",
            config=settings.path or self.path,
        )
        self._notifier.ready(self.summary())
        self._keep_status()
        if self._notifier.watchdog_s is not None:
            self._feed_watchdog()
        if self._reload_again:
            self.reload()

    def _start_failed(self, problems: list[str], code: int | None) -> None:
        if self._life is not Life.STARTING:
            return
        logs.emit(log, logging.ERROR, "daemon.start_failed", "; ".join(problems))
        self._fail(code if code in _TELLING else INTERNAL)

    def _start_overdue(self) -> None:
        if self._life is Life.STARTING:
            self._start_failed([f"not ready after {self._options.start_s:g} s"], INTERNAL)

    # -- leaving

    def _fail(self, code: int | None) -> None:
        self._exit = code or INTERNAL
        self.stop(0.0)

    def stop(self, within_s: float | None = None) -> None:
        """Drain and leave, within ``drain_timeout`` unless told otherwise; idempotent."""
        if self._life in {Life.DRAINING, Life.STOPPED}:
            return
        self._life = advance(DAEMON, self._life, Event.STOP)
        if self._check is not None:
            self._check.cancel()
        self.recycler.stop()
        self._answer_reloads(["the daemon is leaving"])
        settings = self.pool.settings
        seconds = within_s if within_s is not None else settings.drain_timeout_s if settings is not None else 0.0
        if not self._exit:
            jobs = self.in_progress()
            logs.emit(log, logging.INFO, "daemon.draining", f"leaving within {seconds:g} s; {jobs} jobs in progress")
        self._notifier.stopping(f"Draining, {self.in_progress()} jobs in progress")
        self._extend_stop()
        self.pool.drain(seconds, lambda: self.keeper.stop(self._gone))

    def hasten(self) -> None:
        """The drain deadline is now."""
        self.stop()
        logs.emit(log, logging.WARNING, "daemon.hastened", "the drain deadline is now")
        self.pool.hasten()

    def _gone(self) -> None:
        self._life = advance(DAEMON, self._life, Event.EMPTY)
        if self.pool.unclean and not self._exit:
            self._exit = UNCLEAN
        logs.emit(log, logging.INFO, "daemon.stopped", "all children have gone", outcome=self._exit)
        self.guard.stop()
        self._loop.stop()

    # -- reload

    def reload(self, reply: Callable[[list[str]], object] | None = None) -> None:
        """Read the configuration again and use it, with new processes where that takes them.

        ``reply(problems)`` is called at its end; the list is empty if it worked.
        """
        if reply is not None:
            self._reload_replies.append(reply)
        if self._life is not Life.RUNNING:
            self._reload_again = self._life is not Life.DRAINING
            return
        self._reload_again = False
        self._life = advance(DAEMON, self._life, Event.RELOAD)
        self._notifier.reloading()
        logs.emit(log, logging.INFO, "daemon.reloading", "reading the configuration again")
        self._check = Check(self._loop, self._check_argv(), self._checked_again)

    def _checked_again(self, verdict: Verdict) -> None:
        self._check = None
        old, new = self.pool.settings, verdict.settings
        if self._life is not Life.RELOADING or old is None:
            return
        problems = list(verdict.problems)
        if new is not None:
            problems += changes.refusals(old, new)
            too_small = recycling.refusal(new, self.recycler.fresh_bytes)
            problems += [too_small] if too_small else []
        if problems or new is None:
            self._reload_failed(problems, CONFIGURATION)
        elif verdict.code == self._code and changes.takes(old, new) is changes.Takes.NOTHING:
            self.pool.apply(new)
            self._reloaded(verdict, new, "applied to the running processes")
        else:
            overdue = self._loop.later(
                self._options.start_s,
                lambda: self.pool.give_up([f"the new workers were not ready after {self._options.start_s:g} s"]),
            )

            def ready() -> None:
                overdue.cancel()
                self._reloaded(verdict, new, "new processes serve, the old ones drain")

            def failed(problems: list[str], code: int | None) -> None:
                overdue.cancel()
                self._reload_failed(problems, code)

            self.pool.introduce(new, ready, failed)

    def _reloaded(self, verdict: Verdict, settings: Settings, how: str) -> None:
        self._code = verdict.code
        self.reloads["ok"] += 1
        logs.configure(settings.log)
        if self.keeper.child is not None:
            self.keeper.child.send({"do": "log-level", "level": settings.log.level})
        self._end_reload(Event.READY, [])
        logs.emit(log, logging.INFO, "daemon.reloaded", how)

    def _reload_failed(self, problems: list[str], _code: int | None) -> None:
        if self._life is not Life.RELOADING:
            return
        self.reloads["failed"] += 1
        logs.emit(
            log, logging.ERROR, "daemon.reload_failed", "nothing has changed: " + "; ".join(problems), problems=problems
        )
        self._end_reload(Event.KEEP, problems)

    def _end_reload(self, event: Event, problems: list[str]) -> None:
        self._life = advance(DAEMON, self._life, event)
        self._notifier.ready(self.summary())
        if self._reload_again:
            self.reload()
        else:
            self._answer_reloads(problems)

    def _answer_reloads(self, problems: list[str]) -> None:
        replies, self._reload_replies = self._reload_replies, []
        for reply in replies:
            reply(problems)

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
        self._unreplaced = max(0, self._unreplaced - 1)
        too_small = recycling.refusal(self.pool.settings_of(child), fresh)
        if too_small and self._life in {Life.STARTING, Life.RELOADING}:
            self.pool.give_up([too_small], CONFIGURATION)

    def _on_gone(self, child: Child) -> None:
        self.guard.forget(child)
        self.recycler.forget(child)
        self.questions.gone(child)

    def _on_stall_kill(self, _child: Child) -> None:
        self._unreplaced += 1

    def _on_crash_loop(self) -> None:
        if self._life in {Life.DRAINING, Life.STOPPED}:
            return
        logs.emit(
            log,
            logging.ERROR,
            "daemon.crash_loop",
            "child processes die again and again, giving up; their last errors are above",
        )
        self._exit = INTERNAL
        self.stop()

    def _reap(self) -> None:
        while True:
            self.pool.reap()
            self.keeper.reap()
            if self._check is not None:
                self._check.reap()
            if os.getpid() != 1 or not self._reap_orphan():
                return

    def _reap_orphan(self) -> bool:
        """As PID 1: take one process that others left behind; False if none has ended."""
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if ended is None:
            return False
        mine = {child.pid for child in self.pool.all()}
        mine |= {process.pid for process in (self.keeper.child, self._check) if process is not None}
        if ended.si_pid not in mine:
            os.waitpid(ended.si_pid, 0)
        return True

    # -- signals

    def _signals(self) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self._interrupted,
            signal.SIGQUIT: self.hasten,
            signal.SIGHUP: self.reload,
            signal.SIGTSTP: lambda: self.be_quiet(True),
            signal.SIGCONT: lambda: self.be_quiet(False),
            signal.SIGTTIN: lambda: self.resize(+1),
            signal.SIGTTOU: lambda: self.resize(-1),
            signal.SIGUSR1: self._log_stacks,
            signal.SIGCHLD: self._reap,
        }

    def _interrupted(self) -> None:
        if self._life is Life.DRAINING:
            self.hasten()
        else:
            self.stop()

    def be_quiet(self, quiet: bool) -> None:
        """Take no more jobs, or go on."""
        if quiet != self.pool.quiet:
            logs.emit(log, logging.INFO, "daemon.quiet" if quiet else "daemon.resumed")
            self.pool.be_quiet(quiet)

    def resize(self, step: int) -> None:
        """One process more or fewer."""
        if self._life in {Life.RUNNING, Life.RELOADING}:
            self.pool.resize(self.pool.wanted + step)
            logs.emit(log, logging.INFO, "daemon.resized", f"{self.pool.wanted} processes wanted")

    def set_log_level(self, settings: Settings, level: Any) -> None:
        """Log ``level`` and above, here and in every child, until the next reload."""
        changed = dataclasses.replace(settings, log=dataclasses.replace(settings.log, level=level))
        logs.set_level(level)
        self.pool.apply(changed)
        if self.keeper.child is not None:
            self.keeper.child.send({"do": "log-level", "level": level})

    def _log_stacks(self) -> None:
        def log_them(answers: list[Message]) -> None:
            for answer in answers:
                logs.emit(log, logging.INFO, "worker.stacks", f"worker {answer['worker']}", stacks=answer)

        self.questions.ask("stacks", log_them)

    # -- how it is

    def in_progress(self) -> int:
        """Jobs in progress as far as the workers have told."""
        return sum(int(child.status.get("in_progress", 0)) for child in self.pool.all())

    def summary(self) -> str:
        """One line for people."""
        state = "quiet" if self.pool.quiet and self._life is Life.RUNNING else self._life.value
        return f"{state}: {len(self.pool.serving())} workers, {self.in_progress()} jobs in progress"

    def _keep_status(self) -> None:
        if self._life is Life.RUNNING and self.summary() != self._status_line:
            self._status_line = self.summary()
            self._notifier.status(self._status_line)
        self._loop.later(STATUS_S, self._keep_status)

    def _feed_watchdog(self) -> None:
        """Withheld while a worker that was stalled past its limit is not replaced."""
        assert self._notifier.watchdog_s is not None
        if not self._unreplaced:
            self._notifier.alive()
        self._loop.later(self._notifier.watchdog_s / 2, self._feed_watchdog)

    def _extend_start(self) -> None:
        if self._life in {Life.CHECKING, Life.STARTING}:
            self._notifier.extend(EXTEND_S, f"{self._life.value.capitalize()}")
            self._loop.later(EXTEND_S / 2, self._extend_start)

    def _extend_stop(self) -> None:
        if self._life is Life.DRAINING:
            self._notifier.extend(EXTEND_S, f"Draining, {self.in_progress()} jobs in progress")
            self._loop.later(EXTEND_S / 2, self._extend_stop)

    def status(self) -> Message:
        """All that is known without asking anybody, for the control socket."""
        total = self.pool.totals.view(child.status for child in self.pool.all())
        settings = self.pool.settings
        jobserver = self.keeper.child
        return {
            "state": "quiet" if self.pool.quiet and self._life is Life.RUNNING else self._life.value,
            "pid": os.getpid(),
            "config": self.path,
            "started": self.started,
            "uptime_s": round(time.time() - self.started, 3),
            "generation": self.pool.generation,
            "processes": self.pool.wanted,
            "paused": sorted(self.pool.paused),
            "in_progress": self.in_progress(),
            "workers": [self._worker(child) for child in self.pool.all()],
            "jobserver": None
            if jobserver is None
            else {"pid": jobserver.pid, "state": jobserver.stage.value, "queues": jobserver.status.get("queues", {})},
            "settings": [] if settings is None else [function.name for function in settings.functions],
            "restarts": dict(self.pool.restarts),
            "reloads": dict(self.reloads),
            "functions": total.get("functions", {}),
            "servers": total.get("servers", {}),
        }

    def _worker(self, child: Child) -> Message:
        return {
            "pid": child.pid,
            "state": child.stage.value,
            "generation": child.generation,
            "age_s": round(child.age_s, 3),
            "memory_bytes": child.memory_bytes(),
            "in_progress": child.status.get("in_progress", 0),
            "jobs": jobs_run(child.status),
            "stalled_s": round(self.guard.stalled_s(child), 3),
            "ready": child.stage not in {Stage.STARTING, Stage.KILLED},
        }
