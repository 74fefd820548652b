"""Reload: read the file again, use it with new processes or without, or change nothing. Floor 4.

Law: until the new processes are ready the old ones serve as if nothing happened; whatever goes wrong before that
changes nothing but the log.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from gearpool import logs
from gearpool.settings import Settings
from gearpool.supervisor import changes, recycling, report
from gearpool.supervisor.checking import Check, Verdict
from gearpool.supervisor.states import Event, Life

if TYPE_CHECKING:
    from gearpool.supervisor.daemon import Daemon

CONFIGURATION = 78

log = logging.getLogger("gearpool.supervisor")


class Reloader:
    """Reloads one daemon; what is asked during a reload is served by one more after it.

    Attributes:
        results: how many reloads went well and how many changed nothing.
        code: what the checker said of the handlers' code in force.
        check: the checker that runs now, if one does.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._again = False
        self._replies: list[Callable[[list[str]], object]] = []
        self.results = {"ok": 0, "failed": 0}
        self.code = ""
        self.check: Check | None = None
        self._old_folder: int | None = None

    def ask(self, reply: Callable[[list[str]], object] | None = None) -> None:
        """Reload now or as soon as possible; ``reply(problems)`` at the end, with no problems if it worked."""
        daemon = self._daemon
        if daemon.life in {Life.DRAINING, Life.STOPPED}:
            if reply is not None:
                reply(["the daemon is leaving"])
            return
        if reply is not None:
            self._replies.append(reply)
        if daemon.life is not Life.RUNNING:
            self._again = True
            return
        self._again = False
        daemon.go(Event.RELOAD)
        daemon.notifier.reloading()
        logs.emit(log, logging.INFO, "daemon.reloading", "reading the configuration again", **report.files(daemon))
        self._enter_folder()
        try:
            self.check = Check(daemon.loop, daemon.options.check, daemon.starts, self._checked)
        except OSError as error:
            self._failed([f"cannot start the checker: {error}"], None)

    def catch_up(self) -> None:
        """The daemon runs: serve what was asked before that."""
        if self._again:
            self.ask()

    def abandon(self) -> None:
        """The daemon leaves."""
        if self.check is not None:
            self.check.cancel()
        self._answer(["the daemon is leaving"])

    def _checked(self, verdict: Verdict) -> None:
        self.check = None
        daemon = self._daemon
        old, new = daemon.pool.settings, verdict.settings
        if daemon.life is not Life.RELOADING or old is None:
            return
        problems = list(verdict.problems)
        if new is not None:
            problems += changes.refusals(old, new)
            too_small = recycling.refusal(new, daemon.recycler.fresh_bytes)
            problems += [too_small] if too_small else []
        if problems or new is None:
            self._failed(problems, CONFIGURATION)
        elif verdict.code == self.code and changes.takes(old, new) is changes.Takes.NOTHING:
            daemon.pool.apply(new)
            self._done(verdict, new, "applied to the running processes")
        else:
            self._introduce(verdict, new)

    def _introduce(self, verdict: Verdict, new: Settings) -> None:
        def ready() -> None:
            self._done(verdict, new, "new processes serve, the old ones drain")

        self._daemon.pool.introduce(new, ready, self._failed)

    def _enter_folder(self) -> None:
        """Enter the working directory anew: by now a link in its path may lead to another release."""
        self._old_folder = None
        if self._daemon.options.folder is not None:
            with contextlib.suppress(OSError):
                self._old_folder = os.open(".", os.O_PATH | os.O_CLOEXEC)
                os.chdir(self._daemon.options.folder)

    def _leave_old_folder(self, *, back: bool = False) -> None:
        """The reload is over; after one that changed nothing the workers to come begin where those of now did."""
        descriptor, self._old_folder = self._old_folder, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                if back:
                    os.fchdir(descriptor)
            os.close(descriptor)

    def _done(self, verdict: Verdict, settings: Settings, how: str) -> None:
        self.code = verdict.code
        self.results["ok"] += 1
        self._daemon.use_log(settings)
        self._daemon.warn(verdict)
        self._daemon.recycler.start()
        self._leave_old_folder()
        logs.emit(log, logging.INFO, "daemon.reloaded", how, **report.files(self._daemon))
        self._end(Event.READY, [])

    def _failed(self, problems: list[str], _code: int | None) -> None:
        if self._daemon.life is not Life.RELOADING:
            return
        self._leave_old_folder(back=True)
        self.results["failed"] += 1
        text = "nothing has changed: " + "; ".join(problems)
        logs.emit(log, logging.ERROR, "daemon.reload_failed", text, problems=problems)
        self._end(Event.KEEP, problems)

    def _end(self, event: Event, problems: list[str]) -> None:
        self._daemon.go(event)
        self._daemon.manager.ready()
        if self._again:
            self.ask()
        else:
            self._answer(problems)

    def _answer(self, problems: list[str]) -> None:
        replies, self._replies = self._replies, []
        for reply in replies:
            reply(problems)
