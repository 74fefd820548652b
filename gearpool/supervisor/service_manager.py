"""Keeps systemd informed of status and health, and asks it for more time when needed. Floor 4.

The watchdog is notified only while every worker that was killed for blocking has been replaced.
"""

from __future__ import annotations

from gearpool.supervisor.fleet import Fleet
from gearpool.supervisor.lifecycle import Lifecycle
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.notify import Notifier
from gearpool.supervisor.report import Report
from gearpool.supervisor.states import DaemonState

EXTEND_S = 5.0
STATUS_S = 5.0


class ServiceManager:
    """Reports one daemon to systemd, or to whatever else has set NOTIFY_SOCKET."""

    def __init__(self, loop: Loop, notifier: Notifier, lifecycle: Lifecycle, fleet: Fleet, report: Report) -> None:
        self._loop = loop
        self._notifier = notifier
        self._lifecycle = lifecycle
        self._fleet = fleet
        self._report = report
        self._last_status = ""
        self._unreplaced = 0

    def starting(self) -> None:
        """Keep asking for more time until the daemon has started."""
        if self._lifecycle.starting:
            self._notifier.extend(EXTEND_S, self._lifecycle.state.value.capitalize())
            self._loop.later(EXTEND_S / 2, self.starting)

    def started(self) -> None:
        """The daemon is ready: start sending status and watchdog notifications."""
        self.ready()
        self._send_status()
        self._notify_watchdog()

    def ready(self) -> None:
        """The start or a reload has ended."""
        self._last_status = self._report.summary
        self._notifier.ready(self._last_status)

    def reloading(self) -> None:
        """A reload begins."""
        self._notifier.reloading()

    def stopping(self) -> None:
        """The drain begins."""
        self._notifier.stopping(self._draining())
        self._extend()

    def stalled(self) -> None:
        """A worker was killed because it was blocked."""
        self._unreplaced += 1

    def replaced(self) -> None:
        """A worker has become ready."""
        self._unreplaced = max(0, self._unreplaced - 1)

    def _send_status(self) -> None:
        summary = self._report.summary
        if self._lifecycle.state is DaemonState.RUNNING and summary != self._last_status:
            self._last_status = summary
            self._notifier.status(summary)
        self._loop.later(STATUS_S, self._send_status)

    def _notify_watchdog(self) -> None:
        period_s = self._notifier.watchdog_s
        if period_s is None:
            return
        if len(self._fleet.serving()) >= self._fleet.wanted:
            self._unreplaced = 0  # it was draining, or fewer workers are wanted now: nothing will replace it
        if not self._unreplaced:
            self._notifier.alive()
        self._loop.later(period_s / 2, self._notify_watchdog)

    def _extend(self) -> None:
        if self._lifecycle.state is DaemonState.DRAINING:
            self._notifier.extend(EXTEND_S, self._draining())
            self._loop.later(EXTEND_S / 2, self._extend)

    def _draining(self) -> str:
        return f"Draining, {self._report.in_progress} jobs in progress"
