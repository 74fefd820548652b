"""All of one worker process: its functions on all servers, their slots, greenlets, limits and retries. Floor 3.

Law: this is the same for the daemon's children, for the `Worker` library and in tests; it takes what it needs as
arguments, knows no file and no supervisor, and nothing of it is global.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent import getcurrent
from gevent.event import Event
from gevent.hub import get_hub

from gearpool import logs
from gearpool.jobs import KILLED, Draining, Job, Killed, is_named, known_of
from gearpool.page import Page
from gearpool.protocol.codec import DEFAULT_MAX_PACKET
from gearpool.settings import ReconnectSettings, ServerSettings
from gearpool.timing import Deadline
from gearpool.worker.abandoned import Abandoned
from gearpool.worker.batch import Batch
from gearpool.worker.crew import Crew
from gearpool.worker.functions import Function
from gearpool.worker.grabs import Grabs
from gearpool.worker.incarnations import Incarnations
from gearpool.worker.lane import Lane
from gearpool.worker.letters import Letters
from gearpool.worker.limits import Limits
from gearpool.worker.patience import Patience, tick
from gearpool.worker.reach import Reach
from gearpool.worker.retries import Retries
from gearpool.worker.runs import Run, Runs, drop_locals
from gearpool.worker.server_log import ServerLog
from gearpool.worker.session import Session
from gearpool.worker.shares import ServerShare
from gearpool.worker.slots import Slots
from gearpool.worker.suspects import Suspects
from gearpool.worker.verdicts import Verdicts

log = logging.getLogger("gearpool.worker")

DRAINING_GRACE_S = 1.0
"""How long a handler has to end after Draining, before it is killed; and a connection to end after its last job."""
TELL_EVERY_S = 3.0


class Pool:
    """Serves functions on servers with the greenlets of this process.

    Args:
        functions: what is served; disabled ones are not registered.
        servers: where.
        concurrency: jobs at once in this process.
        reconnect: the back-off for lost servers.
        worker_id: client id template for SET_CLIENT_ID; default HOST-PID-FUNCTION.
        base: the folder from which relative paths start.
        page: where to show what is on the CPU, if anybody looks.
        stuck: called with the reason when this process should be replaced.
        max_packet: the largest packet taken from a server, in bytes.
        patience: how long servers are waited for.
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
        stuck: Callable[[str], None] | None = None,
        max_packet: int = DEFAULT_MAX_PACKET,
        patience: Patience | None = None,
    ) -> None:
        self.functions = {function.name: function for function in functions}
        self.servers = tuple(servers)
        self.slots = Slots(concurrency)
        self.crew = Crew()
        self.sessions: set[Session] = set()
        self.lanes: list[Lane] = []
        self.runs: Runs = {}
        self.leaders: dict[Any, Batch] = {}
        self.quiet = False
        self.page = page
        self.max_packet = max_packet
        self.patience = patience or Patience()
        self.verdicts = Verdicts(self)
        self.retries = Retries(self)
        self.suspects = Suspects(self.functions, self.crew.run, self.verdicts.refuse, self.drop_slot)
        self.incarnations = Incarnations(self.servers, self.suspects)
        self.server_log = ServerLog(log, self.incarnations.connected, self.suspects.server_lost)
        self.letters = Letters(base)
        self.abandoned = Abandoned(self.verdicts, stuck)
        self.limits = Limits(self.abandoned.overdue, self.abandoned.stuck, self._on_tick)
        self.draining = False
        self.log_jobs = False
        """Log each job that is complete, at info; those that are not are logged anyway."""
        self.budget: int | None = None
        """How many more jobs may be grabbed; None without limit."""
        self.short: set[Grabs] = set()
        """Who would have grabbed, had there been any of it left."""
        self.on_settled: Callable[[int], None] | None = None
        """Called with how many jobs have come to their end."""
        self._reach = {str(server): Reach(reconnect or ReconnectSettings()) for server in self.servers}
        self._shares = {name: ServerShare(alone=len(self._reach) == 1) for name in self._reach}
        self.worker_id = worker_id
        self._feed_due = False
        self._loop: Any = None
        self._tick: Any = None
        self._ticked_at = 0.0
        self.blocked_by: list[Job] = []  # seen on the CPU for long since the last look at the sessions
        self._hastened = Event()

    # Life.

    def start(self) -> None:
        """Bind to the event loop of the calling thread, and connect everywhere. Returns at once.

        Only from here on is the pool tied to a thread: it may be made in another one, or before a fork.
        """
        if self._loop is not None:
            return
        self._loop = get_hub().loop
        self.crew.start()
        self._tick = self._loop.timer(self.patience.tick_s, self.patience.tick_s)
        self._tick.start(self._on_tick)
        self._ticked_at = time.monotonic()
        for function in self.functions.values():
            if function.settings.enabled:
                self.open(function)

    def open(self, function: Function) -> None:
        """Serve ``function`` on every server."""
        self.functions[function.name] = function
        for server in self.servers:
            known = self._reach[str(server)], self._shares[str(server)]
            self.lanes.append(Lane(self, function, server, *known))

    def shut(self, name: str) -> None:
        """Serve the function ``name`` no more; its running jobs go on to their end."""
        for lane in [lane for lane in self.lanes if lane.function.name == name]:
            self.lanes.remove(lane)
            lane.retire()
        self.functions.pop(name, None)

    def hush(self) -> None:
        """Grab no more until `resume`; what runs goes on."""
        self.quiet = True

    def resume(self) -> None:
        """Grab again."""
        self.quiet = False
        for session in list(self.sessions):
            session.resume()

    def hasten(self) -> None:
        """The drain deadline is now."""
        self._hastened.set()

    def stop(self, deadline: Deadline, tell: Callable[[int, list[str]], None] | None = None) -> bool:
        """Stop grabbing, finish what runs, close. Waits in the calling greenlet. True if nothing was cut off.

        Args:
            deadline: when what still runs gets `Draining`; a short grace later it is killed and handed back, or failed.
            tell: called every few seconds with how many jobs are waited for and some of their names.
        """
        self.draining = self.quiet = True
        for lane in self.lanes:
            lane.retire()
        self.retries.hand_back()
        self.suspects.hand_back()
        # Connections that are still to be closed hold nothing back.
        clean = self._wait_idle(deadline, tell) or not (self.runs or self.busy)
        if not clean:
            self._each_run(lambda run: self.limits.throw(run, Draining("the process is going away")))
            if not self._wait_idle(Deadline.after(DRAINING_GRACE_S), None):
                self._each_run(self.abandoned.cut_off)
                self._wait_idle(Deadline.after(DRAINING_GRACE_S), None)
        self.close()
        return clean

    def close(self) -> None:
        """Close everything now; the server hands out again what is not reported."""
        if self._tick is not None:
            self._tick.stop()
            self._tick.close()
            self._tick = None
        for lane in self.lanes:
            lane.stop()
        for session in list(self.sessions):
            session.close("stopped")
        self.server_log.tell(all_of_them=True)
        self.limits.close()
        self.retries.hand_back()
        self.crew.close()

    def disconnect(self) -> None:
        """End the connections from a thread other than the pool's, whose event loop does not run now.

        Only the sockets are touched. `close` frees the rest.
        """
        for lane in self.lanes:
            lane.disconnect()

    def _wait_idle(self, deadline: Deadline, tell: Callable[[int, list[str]], None] | None) -> bool:
        told = time.monotonic()
        while self.sessions or self.runs:
            if deadline.expired() or self._hastened.is_set():
                self._hastened.clear()
                return False
            if tell is not None and time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                tell(len(self.runs), [repr(run.job) for run in list(self.runs.values())[:5]])
            gevent.sleep(min(0.02, deadline.remaining() + 0.001))
        return True

    def _each_run(self, do: Callable[[Run], None]) -> None:
        """``do`` for every run, in the hub, as throwing wants."""
        for run in list(self.runs.values()):
            self._loop.run_callback(do, run)
        gevent.sleep(0)

    def _on_tick(self) -> None:
        now = time.monotonic()
        look = tick(now - self._ticked_at, now, self.patience.tick_s)
        if look.away_s:
            # It began within a tick's time after the last look: up to so much more.
            away_s = min(now - self._ticked_at, 2 * look.away_s)
            self.limits.excuse(away_s, self._ticked_at + self.patience.tick_s, self.blocked_by)
        self.blocked_by.clear()
        self._ticked_at = now
        for session in list(self.sessions):
            session.tick(look)
        self.server_log.tell()

    # What sessions tell.

    def begin(self, run: Run) -> None:
        """``run`` has waited for the first time, or begins beside the batch."""
        self.runs[run.greenlet] = run
        if self.page is not None:
            run.row = self.page.jobs.add(run.session.tag, run.job.raw_handle, run.job.raw_unique)
        timeout_s = run.session.function.settings.timeout_s
        if timeout_s is not None:
            self.limits.arm(run, timeout_s)

    def returned(self, run: Run, result: bytes, now: float) -> None:
        """The handler of ``run`` returned. Called in its greenlet."""
        drop_locals(*run.thrown)
        if not self._over_with(run):
            return
        session, job = run.session, run.job
        function = session.function
        session.holding -= 1
        if self.log_jobs:
            self.log_complete(job, now - job.started)
        sent = session.reports.complete(job, result)
        function.counters.ended("complete" if sent else "orphaned", now - job.started)
        if function.breaker is not None:
            self.verdicts.succeeded(function)
        self.settled(1)
        self.drop_slot(function)

    def give_back(self, grabs: int) -> None:
        """So many grabs brought no job: others may have their turn, if there is a ``budget``."""
        if self.budget is not None and grabs:
            self.budget += grabs
            short, self.short = self.short, set()
            for who in short:
                who.feed()

    def settled(self, jobs: int) -> None:
        """``jobs`` jobs have come to their end: reported, or handed back."""
        if self.on_settled is not None:
            self.on_settled(jobs)

    def log_complete(self, job: Job, seconds: float) -> None:
        """Log one job that is complete."""
        logs.emit(
            log, logging.INFO, "job.complete", **known_of(job), outcome="complete", duration_s=round(seconds, 6),
        )  # fmt: skip

    def ended(self, run: Run, error: BaseException) -> None:
        """The handler of ``run`` raised. Called in its greenlet."""
        if self._over_with(run):
            self.verdicts.conclude(run, self.verdicts.outcome(run, error))
        drop_locals(error, *run.thrown)

    def _over_with(self, run: Run) -> bool:
        """The handler has ended. False if it was reported long ago."""
        run.ended = True
        me = run.greenlet
        self.runs.pop(me, None)
        self.limits.disarm(run)
        if run.row:
            assert self.page is not None
            self.page.jobs.remove(run.row)
        if run.origin is not None:
            run.origin.run = None
        if me.gr_context is not None:
            me.gr_context = None
        if run.abandoned:
            self.abandoned.ended(run)
            return False
        return True

    def drop_slot(self, function: Function) -> None:
        """A job has given up its slot."""
        if self.slots.release(function.slots):
            self.feed_soon()

    def feed_soon(self) -> None:
        """Somebody waits for slots, and some are free: share them out after this turn."""
        if not self._feed_due and self._loop is not None:
            self._feed_due = True
            self._loop.run_callback(self._feed)

    def _feed(self) -> None:
        self._feed_due = False
        self.slots.feed()

    def resume_function(self, function: Function) -> None:
        """A gate of ``function`` has opened."""
        for session in list(self.sessions):
            if session.function is function:
                session.resume()

    @property
    def busy(self) -> bool:
        """Whether any session holds jobs, or may be given some."""
        return any(session.busy for session in self.sessions)

    # What operators ask.

    def pause(self, name: str) -> None:
        """Grab no more jobs of ``name``.

        Raises:
            KeyError: it is not served here.
        """
        self.functions[name].paused = True

    def unpause(self, name: str) -> None:
        """Grab jobs of ``name`` again."""
        function = self.functions[name]
        function.paused = False
        self.resume_function(function)

    def resize(self, name: str, concurrency: int) -> None:
        """At most ``concurrency`` jobs of ``name`` at once in this process, from now on."""
        self.functions[name].slots.limit = concurrency
        self.feed_soon()

    def kill(self, handle: str) -> bool:
        """End the job ``handle`` (or ``server/handle``), which runs or waits for its retry. False if it is not here."""
        for run in list(self.runs.values()):
            if not run.abandoned and is_named(run.job, handle):
                if not any(isinstance(each, Killed) for each in run.thrown):
                    self._loop.run_callback(self.limits.interrupt, run, Killed(KILLED))
                return True
        waiting = self.retries.take(handle)
        if waiting is None:
            return False
        self.verdicts.kill(waiting.session, waiting.job)
        return True

    def current(self) -> Run | None:
        """The run on the CPU now, if the calling code runs inside a handler; for signal handlers."""
        me = getcurrent()
        run = self.runs.get(me)
        if run is None:
            batch = self.leaders.get(me)
            if batch is not None:
                run = batch.single_out()
        return run

    def on_cpu(self) -> Job | None:
        """The job whose handler is on the CPU now; as `current`, but nothing is changed."""
        me = getcurrent()
        run = self.runs.get(me)
        if run is not None:
            return None if run.ended else run.job
        batch = self.leaders.get(me)
        return batch.on_cpu if batch is not None else None
