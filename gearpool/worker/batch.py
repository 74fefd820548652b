"""Runs the jobs of one connection, one after another. Floor 3.

Leader and followers: the greenlet that read the jobs (the leader) runs them itself. Before the batch it schedules one hub
callback. If no handler yields, the callback is cancelled, and no greenlet was spawned or switched to. If a handler yields,
the hub runs the callback, which makes a parked greenlet the new leader; the old one finishes its job, reports it and parks.

`run` is optimized for hundreds of thousands of jobs a second. Results are sent together: at the end of the batch, when
the oldest is FLUSH_S old, and before anything yields.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import getcurrent
from gevent.hub import get_hub

from gearpool.jobs import Job, job_key
from gearpool.metrics import QUICK_S
from gearpool.net.greenlet_streams import let_others_run
from gearpool.page import NO_FUNCTION, STEP, Activity, pack
from gearpool.protocol.names import text
from gearpool.worker.engine import Engine
from gearpool.worker.functions import FAIR_S
from gearpool.worker.replies import Replies, complete_head
from gearpool.worker.running import log_complete
from gearpool.worker.runs import Run

FLUSH_S = 0.0002

_SMALL = 1024
_heads = [complete_head(size) for size in range(_SMALL)]


class Batch:
    """The jobs of a session that have not started, and the one that its leader is running.

    Args:
        lead: run by the greenlet that becomes the next leader.
        send: sends the results, together with the next grabs.

    Attributes:
        pending: the arguments of JOB_ASSIGN_UNIQ of each job that has not started.
        size: jobs that hold a slot: the pending ones, the current one, and those that have ended but are not counted yet.
        leader: the greenlet that reads and runs jobs; None between two leaders.
    """

    def __init__(self, engine: Engine, replies: Replies, lead: Callable[[], None], send: Callable[[], None]) -> None:
        self.pending: deque[list[bytes]] = deque()
        self.leader: Any = None
        self._engine = engine
        self._running = engine.running
        self._replies = replies
        self._outbox = replies.outbox
        self._function = replies.function
        self._lead = lead
        self._send = send
        self._hub = get_hub()
        self._loop = self._hub.loop
        self.size = 0
        self._slow, self._slow_s = 0, 0.0
        self._current: list[bytes] | None = None
        self._job: Job | None = None
        self._job_began = 0.0
        self._began = 0.0

    @property
    def busy(self) -> bool:
        """Whether a job is running or pending."""
        return bool(self.pending or self._current is not None)

    @property
    def on_cpu(self) -> Job | None:
        """See `running.Leader`."""
        return None if self._current is None else self._leading_job()

    def begin(self, me: Any) -> None:
        """The greenlet ``me`` becomes the leader."""
        self.leader = me
        self._running.leaders[me] = self

    def run(self, me: Any) -> bool:  # noqa: C901 - inlined: a call per job would cost more than most jobs
        """Run the pending jobs one after another. False if a handler yielded and another greenlet is the leader now."""
        replies, function, running, outbox = self._replies, self._function, self._running, self._outbox
        pending, out = self.pending, outbox.parts
        call, takes_job, encode = function.call, function.takes_job, function.encode
        name, wire_name, timeout_s = function.name, function.wire_name, function.settings.timeout_s
        tag, heads, page, notes = replies.tag, _heads, running.page, replies.notes
        memory: Any = None if page is None else page.memory
        log_jobs = running.log_jobs
        monotonic = time.monotonic
        callback = self._loop.run_callback(self._on_yield)
        began = flushed = now = self._began = monotonic()
        self.size = len(pending)
        job: Job | None = None
        while pending:
            arguments = pending.popleft()
            handle = arguments[0]
            if arguments[1] != wire_name or (notes and job_key(handle, arguments[2]) in notes):
                self._set_aside(arguments, now)
                now = self._began = monotonic()
                continue
            if takes_job:
                job = Job(replies, name, handle, arguments[2], arguments[3], timeout_s)
                job.started = now
            self._job = job
            self._job_began = now
            self._current = arguments
            if page is not None:
                sequence = page.sequence = page.sequence + STEP
                pack(memory, sequence & STEP, sequence, now, tag, handle, arguments[2], sequence)
            try:
                result = call(arguments[3], job) if takes_job else call(arguments[3])
                if result.__class__ is not bytes:
                    result = encode(result)
            except BaseException as error:  # noqa: BLE001 - any exception, even SystemExit, fails only this job
                if self.leader is not me:
                    running.raised(running.runs[me], error)
                    job, arguments, result = None, [], None
                    return False
                # The handler never yielded: count the jobs before this one, and conclude it in the middle of the batch.
                running.raised(self._promote(), error)
                job = result = None
                self.begin(me)
                now = self._began = monotonic()
                continue
            now = monotonic()
            if self.leader is not me:
                running.returned(running.runs[me], result, now)
                job, arguments, result = None, [], None
                return False
            self._current = None
            size = len(handle) + 1 + len(result)
            out += (heads[size] if size < _SMALL else complete_head(size), handle, b"\0", result)
            result = None  # the next handler may run for hours
            if me.gr_context is not None:
                me.gr_context = None
            if log_jobs:
                log_complete(job or self._plain_job(arguments), now - self._job_began)
            if now - self._job_began >= QUICK_S:
                self._slow += 1
                self._slow_s += now - self._job_began
                function.counters.ended("complete", now - self._job_began)
            if now - flushed > FLUSH_S:
                self._count(self.size - len(pending), now)
                if outbox.closed:
                    break
                self._send()
                flushed = now
                if now - began > FAIR_S:
                    # No handler has yielded: let timers and other sessions run.
                    callback.stop()
                    if page is not None:
                        page.write(now, NO_FUNCTION, Activity.OTHER, b"", b"")
                    let_others_run(self._hub)
                    if outbox.closed:
                        return True
                    callback = self._loop.run_callback(self._on_yield)
                    began = flushed = now = self._began = monotonic()
        self._count(self.size - len(pending), now)
        self.size = 0
        callback.stop()
        # Do not keep the job alive: an exception kept by a handler refers to this frame.
        self._job = job = None
        arguments = []
        return True

    def single_out(self) -> Run | None:
        """See `running.Leader`."""
        if self._current is None:
            return None
        run = self._promote()
        self._loop.run_callback(self._engine.greenlets.run, self._lead)
        return run

    def run_again(self, job: Job) -> None:
        """Run a job outside of the batch, in the calling greenlet of the greenlet pool; it has a slot."""
        me = getcurrent()
        running, function, replies = self._running, self._function, self._replies
        if replies.closed:
            admission = self._engine.admission
            admission.release(function.slots)
            admission.jobs_ended(1)
            return
        job.started = time.monotonic()
        job.set_limit(function.settings.timeout_s)
        run = Run(replies, job, me)
        running.begin(run)
        if running.page is not None:
            index, server = function.index, replies.server_index
            running.page.write(job.started, index, Activity.JOB, job.raw_handle, job.raw_unique, server)
        try:
            result = function.call(job.argument, job) if function.takes_job else function.call(job.argument)
            if result.__class__ is not bytes:
                result = function.encode(result)
        except BaseException as error:  # noqa: BLE001 - as in a batch
            running.raised(run, error)
        else:
            running.returned(run, result, time.monotonic())

    def close(self) -> int:
        """The connection is closed: drop the pending jobs. Returns how many there were; each had a slot."""
        dropped = len(self.pending)
        self._count(self.size - dropped - (self._current is not None), time.monotonic())
        self.pending.clear()
        self.size = int(self._current is not None)
        return dropped

    def _on_yield(self) -> None:
        """Called in the hub when the leader's handler has yielded: make it a run of its own, and start another leader."""
        if self._current is None:
            return
        self._promote()
        if not self._outbox.closed:
            self._engine.greenlets.run(self._lead)

    def _promote(self) -> Run:
        """Turn the leader's job into a run of its own; the session then has no leader."""
        run = Run(self._replies, self._leading_job(), self.leader)
        self._count(self.size - len(self.pending) - 1, self._job_began)
        self.size = len(self.pending)
        self._function.measure(time.monotonic() - self._job_began)
        self._current = self._job = None
        self._running.leaders.pop(self.leader, None)
        self.leader = None
        self._replies.unreported += 1
        self._running.begin(run)
        return run

    def _count(self, done: int, now: float) -> None:
        """Count ``done`` jobs that ended without yielding, and release their slots."""
        if done <= 0:
            return
        elapsed = now - self._began
        function = self._function
        # The slow ones were counted one by one; the rest were quick.
        function.counters.quick(done - self._slow, elapsed - self._slow_s)
        self._slow, self._slow_s = 0, 0.0
        function.measure(elapsed / done)
        self._began = now
        self.size -= done
        if function.breaker is not None:
            self._engine.verdicts.succeeded(function)
        admission = self._engine.admission
        admission.jobs_ended(done)
        admission.release(function.slots, done)

    def _set_aside(self, arguments: list[bytes], now: float) -> None:
        """Pass a job to `suspects`: there is a note on it, or its function is not served here."""
        self._count(self.size - len(self.pending) - 1, now)
        self.size = len(self.pending)
        replies = self._replies
        replies.unreported += 1
        timeout_s = self._function.settings.timeout_s
        job = Job(replies, text(arguments[1]), arguments[0], arguments[2], arguments[3], timeout_s)
        job.started = now
        self._engine.suspects.set_aside(replies, job)

    def _leading_job(self) -> Job:
        """The leader's job; created here if the handler does not take one."""
        if self._job is None:
            assert self._current is not None
            self._job = self._plain_job(self._current)
        return self._job

    def _plain_job(self, arguments: list[bytes]) -> Job:
        function = self._function
        job = Job(self._replies, function.name, arguments[0], arguments[2], arguments[3], function.settings.timeout_s)
        job.started = self._job_began
        return job
