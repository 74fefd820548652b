"""Runs the web child, if the configuration has ``http``, and publishes to it what it shows. Floor 4.

Invariant: it is never in the way of jobs. However often it dies the daemon goes on, and a child that does not read gets
no more than what fits into its channel. It is replaced when it dies and when its heartbeat stops; see `heartbeat`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gearpool import drain_times, logs, messages
from gearpool.messages import WEB_EVENTS
from gearpool.settings import Settings
from gearpool.status import WebRow
from gearpool.supervisor.channel import Object
from gearpool.supervisor.child import Child
from gearpool.supervisor.control_socket import CannotListenError
from gearpool.supervisor.failure_store import FailureStore
from gearpool.supervisor.heartbeat import WEB_KILL_S, Heartbeat
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.restarts import RETRY_S, RestartTimer
from gearpool.supervisor.starting import StartupWatch
from gearpool.supervisor.states import ChildState
from gearpool.supervisor.web_listener import WebListener

PUBLISH_S = 1.0
CRASHING_S = 30.0
"""Pause before the next start of a child that keeps crashing."""
LEAVE_S = 5.0
"""How long a child that was replaced by a reload may finish its requests; one of them may be the reload itself."""

_READING = frozenset({"ping", "status", "failures", "jobs", "stacks"})
"""Requests that change nothing."""

log = logging.getLogger("gearpool.supervisor")


class WebChild:
    """Starts, watches and replaces the web process.

    Args:
        loop: runs the timers.
        argv: the child's command line.
        startup: watches its start.
        status: returns the `gearpool.status.DaemonStatus` to publish.
        failures: the failures and stalls to publish when they have changed.
        serve: serves a request as one on the control socket.
        silent_kill_s: see `heartbeat`.
    """

    def __init__(
        self,
        loop: Loop,
        argv: Sequence[str],
        startup: StartupWatch,
        *,
        status: Callable[[], Object],
        failures: FailureStore,
        serve: Callable[[Object, Callable[[Object], None]], object],
        silent_kill_s: float = WEB_KILL_S,
    ) -> None:
        self._loop = loop
        self._argv = argv
        self._startup = startup
        self._status, self._failures, self._serve = status, failures, serve
        self._silent_kill_s = silent_kill_s
        self._restarts = RestartTimer(loop, self._start, self._keeps_crashing)
        self._settings: Settings | None = None
        self._listener: WebListener | None = None
        self._prepared: WebListener | None = None
        self._child: Child | None = None
        self._leaving: list[Child] = []
        self._heartbeat: Heartbeat | None = None
        self._timer: Timer | None = None
        self._sent_failures = -1
        self._on_stopped: Callable[[], object] | None = None

    @property
    def row(self) -> WebRow | None:
        """What the daemon's status says of it; None if it is not configured."""
        if self._listener is None:
            return None
        child = self._child
        return {
            "pid": None if child is None else child.pid,
            "state": "restarting" if child is None else child.state.value,
            "listen": self._listener.listen,
        }

    @property
    def children(self) -> list[Child]:
        """Every process of it: the current one, and those that a reload has replaced."""
        return [*self._leaving, *([] if self._child is None else [self._child])]

    def start(self, settings: Settings) -> None:
        """Listen and start the child, if ``settings`` have ``http``.

        Raises:
            CannotListenError: the address cannot be used.
        """
        try:
            self._prepare(settings)
        except OSError as error:
            raise CannotListenError(str(error)) from error
        self.apply(settings)

    def prepare(self, settings: Settings) -> list[str]:
        """Listen where a new configuration says, beside the old address, before anything else changes.

        Returns:
            The problems; with any, the new configuration cannot be used.
        """
        try:
            self._prepare(settings)
        except OSError as error:
            return [str(error)]
        return []

    def abandon(self) -> None:
        """The new configuration is not used after all."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.close()

    def apply(self, settings: Settings) -> None:
        """Use a configuration that was prepared. The child is replaced if its own part of it has changed."""
        before, self._settings = self._settings, settings
        prepared, self._prepared = self._prepared, None
        if before is not None and before.http == settings.http:
            if self._child is not None:
                self._child.send(messages.Apply(settings))
            return
        if prepared is not None or settings.http is None:
            old, self._listener = self._listener, prepared
            if old is not None:
                old.close()
        self._dismiss(LEAVE_S - 1.0, LEAVE_S)
        if settings.http is not None:
            self._start()

    def set_log_level(self, level: str) -> None:
        """Have the child log this level and above."""
        if self._child is not None:
            self._child.send(messages.SetLogLevel(level))

    def stop(self, kill_s: float, on_stopped: Callable[[], object]) -> None:
        """End every process of it, by SIGKILL after ``kill_s`` seconds, then call ``on_stopped()``."""
        self._on_stopped = on_stopped
        self.abandon()
        self._dismiss(drain_times.WEB_S - drain_times.WEB_EXIT_S, kill_s)
        self._check_stopped()

    def close(self) -> None:
        """The supervisor exits: kill what is left and stop listening."""
        for child in self.children:
            child.kill("the supervisor exits")
        self.abandon()
        if self._listener is not None:
            self._listener.close()

    def reap(self) -> None:
        """Collect the exit status of what has ended, and replace it unless it was to end."""
        for child in self.children:
            if child.reap():
                self._on_ended(child)

    def _prepare(self, settings: Settings) -> None:
        self.abandon()
        http, current = settings.http, self._listener
        if http is not None and (current is None or current.listen != http.listen):
            self._prepared = WebListener(http.listen)

    def _start(self) -> None:
        if self._settings is None or self._listener is None or self._on_stopped is not None or self._child is not None:
            return
        fds = self._listener.fds
        try:
            child = Child(self._loop, "web", self._argv, 0, WEB_EVENTS, self._on_event, inherit=fds)
        except OSError as error:
            text = f"cannot start the web process: {error}; trying again in {RETRY_S:g} s"
            logs.emit(log, logging.ERROR, "web.cannot_start", text)
            self._restarts.retry()
            return
        self._child = child
        self._sent_failures = -1
        self._startup.watch(child, "the web process", child.kill_unready)
        child.send(messages.Start(self._settings))
        self._publish(child)
        if self._timer is None:
            self._timer = self._loop.later(PUBLISH_S, self._tick)

    def _tick(self) -> None:
        self._timer = self._loop.later(PUBLISH_S, self._tick) if self._child is not None else None
        if self._child is not None:
            self._publish(self._child)

    def _publish(self, child: Child) -> None:
        if not child.is_listening:
            return  # stopped or busy: what it has not read yet would only be outdated
        changes = self._failures.changes
        failures = None if changes == self._sent_failures else dict(self._failures.answer())
        self._sent_failures = changes
        child.send(messages.Publish(self._status(), failures))

    def _on_event(self, child: Child, event: messages.Event) -> None:
        if isinstance(event, messages.Ready) and child.state is ChildState.STARTING:
            child.became_ready()
            listen = None if self._listener is None else self._listener.listen
            logs.emit(log, logging.INFO, "web.ready", f"serving HTTP on {listen}", web=child.pid, listen=listen)
            if child is self._child:
                self._heartbeat = Heartbeat(
                    self._loop, child, on_silent=self._on_silent, on_responding=lambda _: None,
                    on_timeout=self._kill_silent, kill_s=self._silent_kill_s,
                )  # fmt: skip
        elif isinstance(event, messages.Failed):
            child.failure = event.problems
        elif isinstance(event, messages.Request):
            self._serve(event.request, lambda answer: self._answer(child, event, answer))

    def _answer(self, child: Child, request: messages.Request, answer: Object) -> None:
        if child.state is ChildState.ENDED:
            return
        if child is self._child and request.request.get("do") not in _READING:
            self._publish(child)  # what was changed is seen by the next request
        child.send(messages.Answer(request.id, answer))

    def _dismiss(self, drain_s: float, kill_s: float) -> None:
        """Have the current child finish its requests within ``drain_s`` and exit."""
        child, self._child = self._child, None
        self._stop_heartbeat()
        if child is not None:
            self._leaving.append(child)
            if child.serving:
                child.drain(drain_s)
            else:
                child.kill("not needed")
        for each in self._leaving:
            self._loop.later(kill_s, lambda each=each: each.kill("drain"))  # type: ignore[misc] # bound

    def _on_ended(self, child: Child) -> None:
        expected = child is not self._child
        level = logging.DEBUG if expected else logging.ERROR
        text = f"the web process has ended: {child.describe_end()}"
        logs.emit(log, level, "web.gone", text, web=child.pid, problems=child.failure or None)
        if expected:
            self._leaving.remove(child)
        else:
            self._child = None
            self._stop_heartbeat()
        child.release()
        if not expected:
            self._restarts.died(child.served_s, excused=child.returncode == -9)
        self._check_stopped()

    def _keeps_crashing(self) -> None:
        text = f"the web process keeps crashing; trying again in {CRASHING_S:g} s. Jobs are not affected"
        logs.emit(log, logging.ERROR, "web.crash_loop", text)
        self._loop.later(CRASHING_S, self._start)

    def _check_stopped(self) -> None:
        on_stopped = self._on_stopped
        if on_stopped is not None and not self.children:
            self._on_stopped = lambda: None
            on_stopped()

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()

    def _on_silent(self, silent_s: float) -> None:
        text = (
            f"the web process has not responded for {silent_s:.0f} s; it will be replaced at {self._silent_kill_s:g} s"
        )
        logs.emit(log, logging.WARNING, "web.silent", text)

    def _kill_silent(self, silent_s: float) -> None:
        if self._child is not None:
            text = f"the web process has not responded for {silent_s:.0f} s; killing it"
            logs.emit(log, logging.ERROR, "web.killed", text, web=self._child.pid)
            self._child.kill("stalled")
