"""The worker pool of one process: serves functions on all servers, within shared slots and limits. Floor 3.

The daemon's children, the `Worker` library and tests use the same pool: it takes what it needs as arguments, knows neither
files nor a supervisor, and has no global state.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.event import Event
from gevent.hub import get_hub

from gearpool.drain_times import HANDLER_S
from gearpool.figures import Figures
from gearpool.jobs import Draining
from gearpool.net.greenlet_streams import GreenletStream
from gearpool.page import NO_SERVER, Page
from gearpool.protocol.codec import DEFAULT_MAX_PACKET
from gearpool.settings import ReconnectSettings, ServerSettings
from gearpool.timing import Deadline
from gearpool.worker.abandoned import Abandoned
from gearpool.worker.admission import Admission
from gearpool.worker.dead_letters import DeadLetters
from gearpool.worker.engine import Engine
from gearpool.worker.failures import Failures
from gearpool.worker.functions import Function
from gearpool.worker.greenlet_pool import GreenletPool
from gearpool.worker.incarnations import Incarnations
from gearpool.worker.lane import Lane
from gearpool.worker.retries import Retries
from gearpool.worker.running import Running
from gearpool.worker.server_health import ServerHealth
from gearpool.worker.server_log import ServerLog
from gearpool.worker.server_timeouts import ServerTimeouts, make_tick
from gearpool.worker.session import Session
from gearpool.worker.shares import ServerShare
from gearpool.worker.suspects import Suspects
from gearpool.worker.time_limits import TimeLimits
from gearpool.worker.verdicts import Verdicts

log = logging.getLogger("gearpool.worker")

PROGRESS_EVERY_S = 3.0


class WorkerPool:
    """Serves functions on servers with the greenlets of this process.

    Args:
        functions: the functions to serve; disabled ones are not registered.
        servers: the job servers.
        concurrency: the maximum number of concurrent jobs in this process.
        reconnect: the back-off for lost servers.
        worker_id: client id template for SET_CLIENT_ID; default HOST-PID-FUNCTION.
        base: the folder that relative paths refer to.
        page: where a supervisor sees what is on the CPU; None without one.
        figures: where a supervisor reads what the functions count, by their index; None without one.
        replace: called with the reason when this process should be replaced; None without a supervisor.
        max_packet: the largest packet accepted from a server, in bytes.
        timeouts: how long to wait for servers.
        clock: ``time.monotonic``, or a fake in tests.

    Attributes:
        functions: the functions by name.
        lanes: one for each function and server.
        failures: what has failed, for a supervisor.
        sessions: the open connections, including those of removed functions.
        engine: what the sessions share.
    """

    def __init__(
        self,
        functions: Iterable[Function],
        servers: Iterable[ServerSettings],
        *,
        concurrency: int = 100,
        reconnect: ReconnectSettings | None = None,
        worker_id: str | None = None,
        base: str = ".",
        page: Page | None = None,
        figures: Figures | None = None,
        replace: Callable[[str], None] | None = None,
        max_packet: int = DEFAULT_MAX_PACKET,
        timeouts: ServerTimeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.functions = {function.name: function for function in functions}
        self._figures = figures
        if figures is not None:
            for function in self.functions.values():
                function.counters = figures.functions[function.index]
        self.servers = tuple(servers)
        self.lanes: list[Lane] = []
        self.sessions: set[Session] = set()
        self.admission = admission = Admission(concurrency)
        self.greenlets = greenlets = GreenletPool()
        self.server_log = server_log = ServerLog(log)
        self.failures = Failures()
        self.retries = retries = Retries(admission, greenlets.run)
        self.verdicts = verdicts = Verdicts(
            admission, greenlets, retries, DeadLetters(base), server_log, self.failures, self._resume_sessions
        )
        self.suspects = suspects = Suspects(self.functions, admission, greenlets.run, verdicts.refuse)
        self.incarnations = Incarnations(self.servers, suspects)
        server_log.on_reconnected = figures.reconnected if figures is not None else None
        server_log.on_connected, server_log.on_lost = self.incarnations.connected, suspects.server_lost
        self.abandoned = abandoned = Abandoned(verdicts, replace)
        self.limits = TimeLimits(abandoned.overdue, abandoned.stuck, self.tick)
        self.running = running = Running(admission, verdicts, abandoned, self.limits, page)
        self.engine = Engine(
            admission=admission,
            greenlets=greenlets,
            running=running,
            verdicts=verdicts,
            retries=retries,
            suspects=suspects,
            abandoned=abandoned,
            server_log=server_log,
            timeouts=timeouts or ServerTimeouts(),
            max_packet=max_packet,
            worker_id=worker_id,
        )
        self._health = {str(server): ServerHealth(reconnect or ReconnectSettings()) for server in self.servers}
        self._shares = {name: ServerShare(only_server=len(self._health) == 1) for name in self._health}
        self._clock = clock
        self._loop: Any = None
        self._ticker: Any = None
        self._ticked_at = 0.0
        self._stop_now = Event()

    # Lifecycle.

    def start(self) -> None:
        """Bind to the event loop of the calling thread and start connecting. Returns at once; idempotent.

        The pool may be created in another thread, or before a fork.
        """
        if self._loop is not None:
            return
        self._loop = get_hub().loop
        self.greenlets.start()
        self.admission.start(self._loop.run_callback)
        self._ticker = self._loop.timer(self.engine.timeouts.tick_s, self.engine.timeouts.tick_s)
        self._ticker.start(self.tick)
        self._ticked_at = self._clock()
        for function in self.functions.values():
            if function.settings.enabled:
                self.add(function)

    def add(self, function: Function) -> None:
        """Serve ``function`` on every server."""
        self.functions[function.name] = function
        for index, server in enumerate(self.servers):
            name = str(server)
            open_session = functools.partial(self.open_session, function, name, index)
            self.lanes.append(
                Lane(function, server, open_session, self._health[name], self.server_log, self.engine.timeouts.stable_s)
            )

    def remove(self, name: str) -> None:
        """Stop serving the function ``name``; its running jobs are finished."""
        for lane in [lane for lane in self.lanes if lane.function.name == name]:
            self.lanes.remove(lane)
            lane.drain()
        self.functions.pop(name, None)

    def open_session(self, function: Function, server: str, index: int, stream: GreenletStream) -> Session:
        """A session for ``function`` over a new connection to the server at ``index``."""
        share = self._shares.get(server) or ServerShare()
        index = min(index, NO_SERVER)
        session = Session(self.engine, function, server, index, stream, share, self.sessions.discard)
        self.sessions.add(session)
        return session

    def quiet(self) -> None:
        """Grab no more jobs until `resume`; running jobs continue."""
        self.admission.quiet = True

    def resume(self, name: str | None = None) -> None:
        """Grab jobs again after `quiet`, or, with a name, after `pause`.

        Raises:
            KeyError: the function is not served.
        """
        if name is None:
            self.admission.quiet = False
            self._resume_sessions()
        else:
            function = self.functions[name]
            function.paused = False
            self._resume_sessions(function)

    def stop(self, deadline: Deadline, on_progress: Callable[[int, list[str]], None] | None = None) -> bool:
        """Grab no more jobs, finish the running ones, and close. Blocks the calling greenlet. True if no job was cut off.

        Args:
            deadline: when `Draining` is raised in running handlers. After `drain_times.HANDLER_S` they are killed, and their
                jobs are handed back or failed.
            on_progress: called every few seconds with the number of running jobs and a description of some of them.
        """
        self.quiet()
        self.verdicts.draining = True
        for lane in self.lanes:
            lane.drain()
        self.retries.hand_back()
        self.suspects.hand_back()
        # Connections that are not closed yet do not count.
        clean = self._wait_idle(deadline, on_progress) or not (self.running.runs or self.busy)
        if not clean:
            self.running.in_hub(lambda run: self.limits.throw(run, Draining("the process is going away")))
            if not self._wait_idle(Deadline.after(HANDLER_S), None):
                self.running.in_hub(self.abandoned.cut_off)
                self._wait_idle(Deadline.after(HANDLER_S), None)
        self.close()
        return clean

    def stop_now(self) -> None:
        """Let the deadline given to `stop` expire now."""
        self._stop_now.set()

    def close(self) -> None:
        """Close everything now; servers hand out unreported jobs again. Idempotent."""
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker.close()
            self._ticker = None
        for lane in self.lanes:
            lane.close()
        for session in list(self.sessions):
            session.close("stopped")
        self.server_log.tell(all_of_them=True)
        self.limits.close()
        self.retries.hand_back()
        self.greenlets.close()

    def disconnect(self) -> None:
        """Shut the connections down from another thread, while the pool's event loop does not run.

        This only affects the sockets; `close` frees the rest.
        """
        for lane in self.lanes:
            lane.disconnect()

    def after_fork(self) -> None:
        """Called in a process forked by a handler: give up the connections and all other jobs, which are the parent's."""
        for session in list(self.sessions):
            session.close("forked")
        self.greenlets.forked = True
        if self.running.page is not None:
            self.running.page.detach()
        if self._figures is not None:
            self._figures.detach()

    def descriptors(self) -> list[int]:
        """The file descriptors of the open connections."""
        return [lane.descriptor for lane in self.lanes if lane.connected]

    def tick(self) -> None:
        """Check all sessions; called about once a second, and when a time limit fires late."""
        now = self._clock()
        tick = make_tick(now - self._ticked_at, now, self.engine.timeouts.tick_s)
        if tick.paused_s:
            # The pause began up to one tick before the tick was due, so it may have been longer by that much.
            paused_s = min(now - self._ticked_at, 2 * tick.paused_s)
            self.limits.extend(paused_s, self._ticked_at + self.engine.timeouts.tick_s, self.running.blocked_by)
        self.running.blocked_by.clear()
        self._ticked_at = now
        for session in list(self.sessions):
            session.tick(tick)
        self.server_log.tell()

    def _wait_idle(self, deadline: Deadline, on_progress: Callable[[int, list[str]], None] | None) -> bool:
        reported = time.monotonic()
        runs = self.running.runs
        while self.sessions or runs:
            if deadline.expired() or self._stop_now.is_set():
                self._stop_now.clear()
                return False
            if on_progress is not None and time.monotonic() - reported >= PROGRESS_EVERY_S:
                reported = time.monotonic()
                on_progress(len(runs), [repr(run.job) for run in list(runs.values())[:5]])
            gevent.sleep(min(0.02, deadline.remaining() + 0.001))
        return True

    def _resume_sessions(self, function: Function | None = None) -> None:
        """Let the sessions of ``function``, or of all functions, grab again."""
        for session in list(self.sessions):
            if function is None or session.function is function:
                session.resume()

    @property
    def busy(self) -> bool:
        """Whether any session has jobs or unanswered grabs."""
        return any(session.busy for session in self.sessions)

    # For operators.

    def pause(self, name: str) -> None:
        """Grab no more jobs of the function ``name`` until `resume`.

        Raises:
            KeyError: the function is not served.
        """
        self.functions[name].paused = True

    def kill(self, handle: str) -> bool:
        """Kill the job ``handle`` (or ``server/handle``), running or waiting for its retry. False if it is not here."""
        if self.running.kill(handle):
            return True
        waiting = self.retries.take(handle)
        if waiting is None:
            return False
        self.verdicts.kill(waiting.replies, waiting.job)
        return True
