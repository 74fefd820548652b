"""Runs the embedded job server as a child process, if the configuration has one. Floor 4.

Invariant: it is replaced when it dies and when its heartbeat stops; see `heartbeat`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from gearpool import drain_times, logs, messages
from gearpool.messages import JOB_SERVER_EVENTS
from gearpool.settings import Settings
from gearpool.supervisor.child import Child
from gearpool.supervisor.heartbeat import KILL_S, Heartbeat
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.restarts import RETRY_S, RestartTimer
from gearpool.supervisor.starting import StartupWatch
from gearpool.supervisor.states import ChildState

log = logging.getLogger("gearpool.supervisor")


class JobServerChild:
    """Starts, watches and replaces the job server process."""

    def __init__(
        self,
        loop: Loop,
        argv: Sequence[str],
        startup: StartupWatch,
        crash_loop: Callable[[], object],
        silent_kill_s: float = KILL_S,
    ) -> None:
        self._loop = loop
        self._silent_kill_s = silent_kill_s
        self._heartbeat: Heartbeat | None = None
        self._startup = startup
        self._argv = argv
        self._restarts = RestartTimer(loop, self._start, crash_loop)
        self._settings: Settings | None = None
        self._ready: Callable[[], object] | None = None
        self._failed: Callable[[list[str], int | None], object] | None = None
        self._on_stopped: Callable[[], object] | None = None
        self.child: Child | None = None
        self.queues: dict[str, Any] = {}

    def start(
        self, settings: Settings, ready: Callable[[], object], failed: Callable[[list[str], int | None], object]
    ) -> None:
        """Start it; call ``ready()`` when it listens, or ``failed(problems, exit code)`` if it ends before that."""
        self._settings, self._ready, self._failed = settings, ready, failed
        self._start()

    def stop(self, kill_s: float, on_stopped: Callable[[], object]) -> None:
        """Drain it, kill it after ``kill_s`` seconds, and call ``on_stopped()`` when it has ended."""
        self._on_stopped = on_stopped
        self._stop_heartbeat()
        child = self.child
        if child is None:
            on_stopped()
        elif child.serving:
            child.drain(drain_times.JOB_SERVER_S)
            self._loop.later(kill_s, lambda: child.kill("drain"))
        else:
            child.kill("drain")

    def reap(self) -> None:
        """Collect its exit status if it has ended, and replace it unless it was stopped."""
        child = self.child
        if child is None or not child.reap():
            return
        self.child = None
        self._stop_heartbeat()
        first = child.ready is None and self._failed is not None
        level = logging.INFO if child.previous is ChildState.DRAINING or self._on_stopped is not None else logging.ERROR
        text = f"the embedded job server has ended: {child.describe_end()}"
        logs.emit(log, level, "jobserver.gone", text, jobserver=child.pid, problems=child.failure or None)
        child.release()
        if self._on_stopped is not None:
            self._on_stopped()
        elif first and self._failed is not None:
            self._failed(child.failure or [f"the job server ended: {child.describe_end()}"], child.returncode)
        else:
            self._restarts.died(child.served_s, excused=child.returncode == -9)

    @property
    def silent_s(self) -> float:
        """For how long it has not responded; 0 while it is healthy."""
        heartbeat = self._heartbeat
        return heartbeat.silent_s if heartbeat is not None and heartbeat.is_silent else 0.0

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()

    def _on_silent(self, silent_s: float) -> None:
        child, settings = self.child, self._settings
        if child is None or settings is None:
            return
        in_memory = settings.embedded is not None and settings.embedded.store == "memory"
        lost = "; the jobs that it holds will then be lost (store: memory)" if in_memory else ""
        child.ask_for_stacks(
            lambda stacks: logs.emit(
                log,
                logging.ERROR,
                "jobserver.silent",
                f"the embedded job server has not responded for {silent_s:.0f} s: it was stopped or is stuck. "
                f"It will be killed and replaced after {self._silent_kill_s:g} s{lost}",
                jobserver=child.pid,
                stacks=stacks or None,
            )
        )

    def _on_responding(self, silent_s: float) -> None:
        logs.emit(
            log, logging.WARNING, "jobserver.responds", f"the embedded job server responds again after {silent_s:.0f} s"
        )

    def _kill_silent(self, silent_s: float) -> None:
        child = self.child
        if child is not None:
            text = f"the embedded job server has not responded for {silent_s:.0f} s; killing it"
            logs.emit(log, logging.ERROR, "jobserver.killed", text, jobserver=child.pid)
            child.kill("stalled")

    def _start(self) -> None:
        if self._settings is None or self._on_stopped is not None:
            return
        try:
            self.child = Child(self._loop, "jobserver", self._argv, 0, JOB_SERVER_EVENTS, self._on_event)
        except OSError as error:
            if self._failed is not None:
                self._failed([f"cannot start the job server: {error}"], None)
                return
            text = f"cannot start the job server: {error}; trying again in {RETRY_S:g} s"
            logs.emit(log, logging.ERROR, "jobserver.cannot_start", text)
            self._restarts.retry()
            return
        child = self.child
        self._startup.watch(child, "the embedded job server", child.kill_unready)
        child.send(messages.Start(self._settings))

    def _on_event(self, child: Child, event: messages.Event) -> None:
        if isinstance(event, messages.Ready) and child.state is ChildState.STARTING:
            child.became_ready()
            self._heartbeat = Heartbeat(
                self._loop,
                child,
                on_silent=self._on_silent,
                on_responding=self._on_responding,
                on_timeout=self._kill_silent,
                kill_s=self._silent_kill_s,
            )
            logs.emit(log, logging.INFO, "jobserver.ready", "the embedded job server is ready", jobserver=child.pid)
            ready, self._ready, self._failed = self._ready, None, None
            if ready is not None:
                ready()
        elif isinstance(event, messages.Failed):
            child.failure = event.problems
        elif isinstance(event, messages.JobServerStatus):
            self.queues = event.queues
