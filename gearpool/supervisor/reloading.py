"""Reloads the configuration, with new worker processes where the change needs them. Floor 4.

Until the new processes are ready the old ones serve as before. A reload that fails before that changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

from gearpool import exit_codes, logs
from gearpool.settings import Settings
from gearpool.supervisor import difference, recycling
from gearpool.supervisor.checking import Check, CheckResult
from gearpool.supervisor.fleet import Fleet
from gearpool.supervisor.lifecycle import Lifecycle
from gearpool.supervisor.recycling import Recycler
from gearpool.supervisor.report import Report
from gearpool.supervisor.service_manager import ServiceManager
from gearpool.supervisor.states import DaemonEvent, DaemonState
from gearpool.supervisor.web_child import WebChild

_STOPPING = "the daemon is stopping"

log = logging.getLogger("gearpool.supervisor")


class Reloader:
    """Reloads one daemon. Requests that arrive during a reload are served by one more reload after it.

    Args:
        start_check: starts the checker.
        folder: the working directory as it was given; None: do not change it.
        lifecycle: the daemon's state.
        fleet: the workers.
        recycler: recycles workers by the limits of the configuration in effect.
        report: counts the reloads.
        service_manager: is notified of the reload.
        web: serves HTTP; its new address must be usable before anything changes.
        on_reloaded: called with each result that is put into effect.

    Attributes:
        code: the checker's digest of the handlers' code in effect.
        check: the running checker, if any.
    """

    def __init__(
        self,
        start_check: Callable[[Callable[[CheckResult], object]], Check],
        folder: str | None,
        *,
        lifecycle: Lifecycle,
        fleet: Fleet,
        recycler: Recycler,
        report: Report,
        service_manager: ServiceManager,
        web: WebChild,
        on_reloaded: Callable[[CheckResult, Settings], object],
    ) -> None:
        self._start_check = start_check
        self._folder = folder
        self._lifecycle = lifecycle
        self._fleet = fleet
        self._recycler = recycler
        self._report = report
        self._service_manager = service_manager
        self._web = web
        self._on_reloaded = on_reloaded
        self._again = False
        self._replies: list[Callable[[list[str]], object]] = []
        self.code = ""
        self.check: Check | None = None
        self._old_folder: int | None = None

    def ask(self, reply: Callable[[list[str]], object] | None = None) -> None:
        """Reload now or as soon as possible; ``reply(problems)`` is called at the end, with none if it succeeded."""
        if self._lifecycle.stopping:
            if reply is not None:
                reply([_STOPPING])
            return
        if reply is not None:
            self._replies.append(reply)
        if self._lifecycle.state is not DaemonState.RUNNING:
            self._again = True
            return
        self._again = False
        self._lifecycle.advance(DaemonEvent.RELOAD)
        self._service_manager.reloading()
        logs.emit(log, logging.INFO, "daemon.reloading", "reading the configuration again", **self._report.files)
        self._enter_folder()
        try:
            self.check = self._start_check(self._checked)
        except OSError as error:
            self._failed([f"cannot start the checker: {error}"], None)

    def catch_up(self) -> None:
        """The daemon has started: reload now if that was requested meanwhile."""
        if self._again:
            self.ask()

    def stop(self) -> None:
        """Cancel a running reload, because the daemon stops."""
        if self.check is not None:
            self.check.cancel()
        self._answer([_STOPPING])

    def _checked(self, result: CheckResult) -> None:
        self.check = None
        old, new = self._fleet.settings, result.settings
        if self._lifecycle.state is not DaemonState.RELOADING or old is None:
            return
        problems = list(result.problems)
        if new is not None:
            problems += difference.refusals(old, new)
            too_small = recycling.refusal(new, self._recycler.fresh_bytes)
            problems += [too_small] if too_small else []
            problems += [] if problems else self._web.prepare(new)
        if problems or new is None:
            self._failed(problems, exit_codes.CONFIGURATION)
        elif result.code == self.code and difference.takes(old, new) is difference.Takes.NOTHING:
            self._fleet.apply(new)
            self._done(result, new, "applied the new configuration to the running processes")
        else:
            how = "the new processes are ready; draining the old ones"
            self._fleet.roll_out(new, lambda: self._done(result, new, how), self._failed)

    def _enter_folder(self) -> None:
        """Enter the working directory again: a symlink in its path may point to another release by now."""
        self._old_folder = None
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._old_folder = os.open(".", os.O_PATH | os.O_CLOEXEC)
                os.chdir(self._folder)

    def _close_old_folder(self, *, back: bool = False) -> None:
        """Forget the previous working directory; with ``back`` return to it, because the reload has failed."""
        descriptor, self._old_folder = self._old_folder, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                if back:
                    os.fchdir(descriptor)
            os.close(descriptor)

    def _done(self, result: CheckResult, settings: Settings, how: str) -> None:
        self.code = result.code
        self._report.reloads["ok"] += 1
        self._web.apply(settings)
        self._on_reloaded(result, settings)
        self._recycler.start()
        self._close_old_folder()
        logs.emit(log, logging.INFO, "daemon.reloaded", how, **self._report.files)
        self._end(DaemonEvent.READY, [])

    def _failed(self, problems: list[str], _code: int | None) -> None:
        if self._lifecycle.state is not DaemonState.RELOADING:
            return
        self._close_old_folder(back=True)
        self._web.abandon()
        self._report.reloads["failed"] += 1
        text = "reload failed, nothing has changed: " + "; ".join(problems)
        logs.emit(log, logging.ERROR, "daemon.reload_failed", text, problems=problems)
        self._end(DaemonEvent.KEEP, problems)

    def _end(self, event: DaemonEvent, problems: list[str]) -> None:
        self._lifecycle.advance(event)
        self._service_manager.ready()
        if self._again:
            self.ask()
        else:
            self._answer(problems)

    def _answer(self, problems: list[str]) -> None:
        replies, self._replies = self._replies, []
        for reply in replies:
            reply(problems)
