"""Runs the jobs that came over one connection, one after another. Floor 3.

Law: leader and followers. The greenlet that read the jobs (the leader) runs them itself. Before the batch it schedules
one callback of the hub. If no handler waits, the callback is cancelled, and nothing was spawned or switched. If one does
wait, the hub runs the callback, which makes a parked greenlet the new leader; the old one ends its job whenever that is,
reports it and parks.

The way of a job is written for speed: all of `run` is on the path of hundreds of thousands of jobs a second. Results
leave together: when the batch ends, when the oldest is FLUSH_S old, and before anything waits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import getcurrent
from gevent.hub import get_hub

from gearpool.jobs import Job, job_key
from gearpool.metrics import QUICK_S
from gearpool.net.greenlet_streams import let_others_run
from gearpool.page import NO_FUNCTION, STEP, Activity, pack
from gearpool.protocol.names import text
from gearpool.worker.functions import FAIR_S
from gearpool.worker.reports import complete_head
from gearpool.worker.runs import Run

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool
    from gearpool.worker.session import Session

FLUSH_S = 0.0002

_SMALL = 1024
_heads = [complete_head(size) for size in range(_SMALL)]


class Batch:
    """The jobs of a session that came and are not begun, and the one that its leader runs.

    Args:
        pool: runs, limits, slots, the page.
        session: what they came over.
        lead: the work of a leader, for the greenlet that takes over.

    Attributes:
        pending: the arguments of JOB_ASSIGN_UNIQ of those that are not begun.
        leader: the greenlet that reads and runs; None when a handler waits and nobody has taken over yet.
    """

    def __init__(self, pool: Pool, session: Session, lead: Callable[[], None]) -> None:
        self.pending: deque[list[bytes]] = deque()
        self.leader: Any = None
        self._pool = pool
        self._session = session
        self._function = session.function
        self._lead = lead
        self._hub = get_hub()
        self._loop = self._hub.loop
        self._size = 0
        """Pending, the current one, and those that ended and are not counted yet."""
        self._slow, self._slow_s = 0, 0.0
        self._current: list[bytes] | None = None
        self._job: Job | None = None
        self._job_began = 0.0
        self._began = 0.0

    @property
    def busy(self) -> bool:
        """There is something to run, or it runs."""
        return bool(self.pending or self._current is not None)

    @property
    def on_cpu(self) -> Job | None:
        """The job that the leader runs now; None if it runs none."""
        return None if self._current is None else self._leading_job()

    def begin(self, me: Any) -> None:
        """The greenlet ``me`` leads from now on."""
        self.leader = me
        self._pool.leaders[me] = self

    def run(self, me: Any) -> bool:  # noqa: C901 - written out: a call a job would cost more than most jobs
        """Run the pending jobs one after another. False when one of them waited and leadership has passed on."""
        session, function, pool = self._session, self._function, self._pool
        pending, out = self.pending, session.outbox.parts
        call, takes_job, encode = function.call, function.takes_job, function.encode
        name, wire_name, timeout_s = function.name, function.wire_name, function.settings.timeout_s
        tag, heads, page, notes = session.tag, _heads, pool.page, session.notes
        memory: Any = None if page is None else page.memory
        log_jobs = pool.log_jobs
        monotonic = time.monotonic
        callback = self._loop.run_callback(self._on_wait)
        began = flushed = now = self._began = monotonic()
        self._size = len(pending)
        job: Job | None = None
        while pending:
            arguments = pending.popleft()
            handle = arguments[0]
            if arguments[1] != wire_name or (notes and job_key(handle, arguments[2]) in notes):
                self._set_aside(arguments, now)
                now = self._began = monotonic()
                continue
            if takes_job:
                job = Job(session.reports, name, handle, arguments[2], arguments[3], timeout_s)
                job.started = now
            self._job = job
            self._job_began = now
            self._current = arguments
            if page is not None:
                turn = page.turn = page.turn + STEP
                pack(memory, turn & STEP, turn, now, tag, handle, arguments[2], turn)
            try:
                result = call(arguments[3], job) if takes_job else call(arguments[3])
                if result.__class__ is not bytes:
                    result = encode(result)
            except BaseException as error:  # noqa: BLE001 - whatever a handler raises, SystemExit included, is its failure
                if self.leader is not me:
                    pool.ended(pool.runs[me], error)
                    job, arguments, result = None, [], None
                    return False
                # It never waited: count those before it, then judge this one, in the midst of the batch.
                pool.ended(self._promote(), error)
                job = result = None
                self.begin(me)
                now = self._began = monotonic()
                continue
            now = monotonic()
            if self.leader is not me:
                pool.returned(pool.runs[me], result, now)
                job, arguments, result = None, [], None
                return False
            self._current = None
            size = len(handle) + 1 + len(result)
            out += (heads[size] if size < _SMALL else complete_head(size), handle, b"\0", result)
            result = None  # the next job may wait for hours
            if me.gr_context is not None:
                me.gr_context = None
            if log_jobs:
                pool.log_complete(job or self._plain_job(arguments), now - self._job_began)
            if now - self._job_began >= QUICK_S:
                self._slow += 1
                self._slow_s += now - self._job_began
                function.counters.ended("complete", now - self._job_began)
            if now - flushed > FLUSH_S:
                self._settle(self._size - len(pending), now)
                if session.closed:
                    break
                session.speak()
                flushed = now
                if now - began > FAIR_S:
                    # Nobody waited, so nobody else ran: let timers and other lanes have a turn.
                    callback.stop()
                    if page is not None:
                        page.write(now, NO_FUNCTION, Activity.OTHER, b"", b"")
                    let_others_run(self._hub)
                    if session.closed:
                        return True
                    callback = self._loop.run_callback(self._on_wait)
                    began = flushed = now = self._began = monotonic()
        self._settle(self._size - len(pending), now)
        self._size = 0
        callback.stop()
        # An exception that a handler keeps refers to this frame, and this object lives as long as the connection.
        self._job = job = None
        arguments = []
        return True

    def single_out(self) -> Run | None:
        """In a signal handler: the job that the leader runs, made a run of its own; None if it runs none now."""
        if self._current is None:
            return None
        run = self._promote()
        self._loop.run_callback(self._pool.crew.run, self._lead)
        return run

    def run_again(self, job: Job) -> None:
        """Run a job that waited for its next attempt; its slot is reserved. Called in a greenlet of the crew."""
        me = getcurrent()
        pool, function = self._pool, self._function
        if self._session.closed:
            pool.drop_slot(function)
            pool.settled(1)
            return
        job.started = time.monotonic()
        job.set_limit(function.settings.timeout_s)
        run = Run(self._session, job, me)
        pool.begin(run)
        if pool.page is not None:
            index, server = function.index, self._session.server_index
            pool.page.write(job.started, index, Activity.JOB, job.raw_handle, job.raw_unique, server)
        try:
            result = function.call(job.argument, job) if function.takes_job else function.call(job.argument)
            if result.__class__ is not bytes:
                result = function.encode(result)
        except BaseException as error:  # noqa: BLE001 - as in a batch
            pool.ended(run, error)
        else:
            pool.returned(run, result, time.monotonic())

    def close(self) -> int:
        """The connection is gone: run no more. Returns how many slots the pending had."""
        dropped = len(self.pending)
        self._settle(self._size - dropped - (self._current is not None), time.monotonic())
        self.pending.clear()
        self._size = int(self._current is not None)
        return dropped

    def _on_wait(self) -> None:
        """In the hub: the leader's handler waits. Make it a run of its own and let another greenlet lead."""
        if self._current is None:
            return
        self._promote()
        if not self._session.closed:
            self._pool.crew.run(self._lead)

    def _promote(self) -> Run:
        """The job that the leader runs becomes a run of its own, and the session has no leader."""
        pool = self._pool
        run = Run(self._session, self._leading_job(), self.leader)
        self._settle(self._size - len(self.pending) - 1, self._job_began)
        self._size = len(self.pending)
        self._function.cost(time.monotonic() - self._job_began)
        self._current = self._job = None
        pool.leaders.pop(self.leader, None)
        self.leader = None
        self._session.holding += 1
        pool.begin(run)
        return run

    def _settle(self, done: int, now: float) -> None:
        """Count ``done`` jobs of the batch that ended without waiting, and give back their slots."""
        if done <= 0:
            return
        elapsed = now - self._began
        function = self._function
        # The slow ones were counted one by one; what is left is the quick ones'.
        function.counters.quick(done - self._slow, elapsed - self._slow_s)
        self._slow, self._slow_s = 0, 0.0
        function.cost(elapsed / done)
        self._began = now
        self._size -= done
        if function.breaker is not None:
            self._pool.verdicts.succeeded(function)
        self._pool.settled(done)
        if self._pool.slots.release(function.slots, done):
            self._pool.feed_soon()

    def _set_aside(self, arguments: list[bytes], now: float) -> None:
        """A job that is not to be run here: of a function we do not serve, or one of which something is known."""
        self._settle(self._size - len(self.pending) - 1, now)
        self._size = len(self.pending)
        session = self._session
        session.holding += 1
        timeout_s = self._function.settings.timeout_s
        job = Job(session.reports, text(arguments[1]), arguments[0], arguments[2], arguments[3], timeout_s)
        job.started = now
        self._pool.suspects.set_aside(session, job)

    def _leading_job(self) -> Job:
        """The leader's job; for handlers that do not take one it is made only now."""
        if self._job is None:
            assert self._current is not None
            self._job = self._plain_job(self._current)
        return self._job

    def _plain_job(self, arguments: list[bytes]) -> Job:
        function = self._function
        reports = self._session.reports
        job = Job(reports, function.name, arguments[0], arguments[2], arguments[3], function.settings.timeout_s)
        job.started = self._job_began
        return job
