"""Keeps the service manager informed: status, watchdog, and more time where it is needed. Floor 4.

Law: the watchdog is fed only while every worker that was stalled past its limit has been replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gearpool.supervisor import report
from gearpool.supervisor.states import Life

if TYPE_CHECKING:
    from gearpool.supervisor.daemon import Daemon

EXTEND_S = 5.0
STATUS_S = 5.0


class Manager:
    """systemd, or whoever gave us NOTIFY_SOCKET, as seen by one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._told = ""
        self._unreplaced = 0

    def starting(self) -> None:
        """Ask for more time as long as the start takes."""
        if self._daemon.life in {Life.CHECKING, Life.STARTING}:
            self._daemon.notifier.extend(EXTEND_S, self._daemon.life.value.capitalize())
            self._daemon.loop.later(EXTEND_S / 2, self.starting)

    def started(self) -> None:
        """The daemon serves."""
        self.ready()
        self._tell()
        self._feed()

    def ready(self) -> None:
        """The start or a reload is over."""
        self._told = report.summary(self._daemon)
        self._daemon.notifier.ready(self._told)

    def stopping(self) -> None:
        """The drain begins."""
        self._daemon.notifier.stopping(self._draining())
        self._extend()

    def stalled(self) -> None:
        """A worker was killed for a stall."""
        self._unreplaced += 1

    def replaced(self) -> None:
        """A worker has become ready."""
        self._unreplaced = max(0, self._unreplaced - 1)

    def _tell(self) -> None:
        summary = report.summary(self._daemon)
        if self._daemon.life is Life.RUNNING and summary != self._told:
            self._told = summary
            self._daemon.notifier.status(summary)
        self._daemon.loop.later(STATUS_S, self._tell)

    def _feed(self) -> None:
        period_s = self._daemon.notifier.watchdog_s
        if period_s is None:
            return
        pool = self._daemon.pool
        if len(pool.serving()) >= pool.wanted:
            self._unreplaced = 0  # it was on its way out, or fewer are wanted: nobody will take its place
        if not self._unreplaced:
            self._daemon.notifier.alive()
        self._daemon.loop.later(period_s / 2, self._feed)

    def _extend(self) -> None:
        if self._daemon.life is Life.DRAINING:
            self._daemon.notifier.extend(EXTEND_S, self._draining())
            self._daemon.loop.later(EXTEND_S / 2, self._extend)

    def _draining(self) -> str:
        return f"Draining, {report.in_progress(self._daemon)} jobs in progress"
