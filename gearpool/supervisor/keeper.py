"""Keeps the embedded job server running, when the configuration asks for one. Floor 4.

Law: one that dies is replaced, and so is one whose event loop stands still; see `heartbeat`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gearpool import logs
from gearpool.settings import Settings, to_json
from gearpool.supervisor.channel import Message
from gearpool.supervisor.child import Child
from gearpool.supervisor.heartbeat import KILL_S, Heartbeat
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.restarts import Restarts
from gearpool.supervisor.starting import Starts
from gearpool.supervisor.states import Stage

DRAIN_S = 0.2
"""The workers have gone by then: it only has to close its store."""
RETRY_S = 1.0
"""After the system would not start a process."""

log = logging.getLogger("gearpool.supervisor")


class Keeper:
    """The job server child, replaced when it dies."""

    def __init__(
        self,
        loop: Loop,
        argv: Sequence[str],
        starts: Starts,
        crash_loop: Callable[[], object],
        silent_kill_s: float = KILL_S,
    ) -> None:
        self._loop = loop
        self._silent_kill_s = silent_kill_s
        self._heartbeat: Heartbeat | None = None
        self._starts = starts
        self._argv = argv
        self._crash_loop = crash_loop
        self._backoff = Restarts()
        self._settings: Settings | None = None
        self._ready: Callable[[], object] | None = None
        self._failed: Callable[[list[str], int | None], object] | None = None
        self._gone: Callable[[], object] | None = None
        self.child: Child | None = None
        self.restarts = 0

    def start(
        self,
        settings: Settings,
        ready: Callable[[], object],
        failed: Callable[[list[str], int | None], object],
    ) -> None:
        """Start it; ``ready()`` when it listens, ``failed(problems, exit code)`` if it goes before that."""
        self._settings, self._ready, self._failed = settings, ready, failed
        self._start()

    def stop(self, kill_s: float, gone: Callable[[], object]) -> None:
        """End it gracefully, after ``kill_s`` seconds by SIGKILL, then ``gone()``; at once if there is none."""
        self._gone = gone
        self._stop_listening()
        child = self.child
        if child is None:
            gone()
        elif child.serving:
            child.drain(DRAIN_S)
            self._loop.later(kill_s, lambda: child.kill("drain"))
        else:
            child.kill("drain")

    def reap(self) -> None:
        """Take its exit status if it has ended."""
        child = self.child
        if child is None or not child.reap():
            return
        self.child = None
        self._stop_listening()
        first = child.ready is None and self._failed is not None
        level = logging.INFO if child.left is Stage.DRAINING or self._gone is not None else logging.ERROR
        logs.emit(
            log,
            level,
            "jobserver.gone",
            f"the embedded job server has gone: {child.describe_end()}",
            jobserver=child.pid,
            problems=child.failure or None,
        )
        child.release()
        if self._gone is not None:
            self._gone()
        elif first and self._failed is not None:
            self._failed(child.failure or [f"the job server ended: {child.describe_end()}"], child.returncode)
        else:
            self.restarts += 1
            delay = self._backoff.died(child.served_s, excused=child.returncode == -9)
            if delay is None:
                self._crash_loop()
            else:
                self._loop.later(delay, self._start)

    @property
    def silent_s(self) -> float:
        """For how long it has not responded; 0 as long as nothing is wrong."""
        heartbeat = self._heartbeat
        return heartbeat.silent_s if heartbeat is not None and heartbeat.is_silent else 0.0

    def _stop_listening(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()

    def _is_silent(self, silent_s: float) -> None:
        child, settings = self.child, self._settings
        if child is None or settings is None:
            return
        in_memory = settings.embedded is not None and settings.embedded.store == "memory"
        lost = "; the jobs that it holds are lost then (store: memory)" if in_memory else ""
        child.ask_for_stacks(
            lambda stacks: logs.emit(
                log,
                logging.ERROR,
                "jobserver.silent",
                f"the embedded job server has not responded for {silent_s:.0f} s: it was stopped, or it is stuck. "
                f"It is killed and replaced after {self._silent_kill_s:g} s{lost}",
                jobserver=child.pid,
                stacks=stacks or None,
            ),
        )

    def _beats_again(self, silent_s: float) -> None:
        logs.emit(
            log, logging.WARNING, "jobserver.responds", f"the embedded job server responds again after {silent_s:.0f} s"
        )

    def _give_up(self, silent_s: float) -> None:
        child = self.child
        if child is not None:
            logs.emit(
                log,
                logging.ERROR,
                "jobserver.killed",
                f"the embedded job server has not responded for {silent_s:.0f} s; killing it",
                jobserver=child.pid,
            )
            child.kill("stalled")

    def _start(self) -> None:
        if self._settings is None or self._gone is not None:
            return
        try:
            self.child = Child(self._loop, "jobserver", self._argv, 0, self._on_message)
        except OSError as error:
            if self._failed is not None:
                self._failed([f"cannot start the job server: {error}"], None)
                return
            logs.emit(log, logging.ERROR, "jobserver.cannot_start", f"{error}; trying again")
            self._loop.later(RETRY_S, self._start)
            return
        child = self.child
        self._starts.watch(child, "the embedded job server", lambda reason: self._not_ready(child, reason))
        child.send({"do": "start", "settings": to_json(self._settings)})

    @staticmethod
    def _not_ready(child: Child, reason: str) -> None:
        child.failure = child.failure or [reason]
        child.kill("not_ready")

    def _on_message(self, child: Child, message: Message) -> None:
        event = message.get("event")
        if event == "ready" and child.stage is Stage.STARTING:
            child.became_ready()
            self._heartbeat = Heartbeat(
                self._loop,
                child,
                silent=self._is_silent,
                again=self._beats_again,
                given_up=self._give_up,
                kill_s=self._silent_kill_s,
            )
            logs.emit(log, logging.INFO, "jobserver.ready", "the embedded job server listens", jobserver=child.pid)
            ready, self._ready, self._failed = self._ready, None, None
            if ready is not None:
                ready()
        elif event == "failed":
            child.failure = [str(problem) for problem in message.get("problems", [])]
        elif event == "status":
            child.status = message
