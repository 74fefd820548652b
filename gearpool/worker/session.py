"""One connection of a lane: grabs jobs of one function, runs them, sends what they report. Floor 3.

Law: a session is replaced, not repaired. It holds many jobs at once; what it was asked for and what it ran dies with its
connection, because the server hands everything out again. It does not know what a failure means (`verdicts` does).

The way of a job is written for speed (all of it is on the path of hundreds of thousands of jobs a second):

- *Grabs are pipelined.* [GRAB_JOB_UNIQ × n, PRE_SLEEP] goes out in one write against n reserved slots; the answer is n
  times a job or NO_JOB, and a NOOP when there is more. So nobody ever waits for a round trip a job.
- *Leader and followers.* The greenlet that read the jobs (the leader) runs them itself, one after another. Before the
  batch it schedules one callback of the hub. If no handler waits, the callback is cancelled, and nothing was spawned or
  switched. If one does wait, the hub runs the callback, which makes a parked greenlet the new leader; the old one ends
  its job whenever that is, reports it and parks.
- *Results leave together*: when the batch ends, when the oldest is FLUSH_S old, and before anything waits.

Sources: gearmand 1.1.20 and 2.0.0 on the wire. [GRAB × n, PRE_SLEEP] loses no wake-up; the next NOOP comes only after a
GRAB; a NOOP may come before the answer to a GRAB without being it.
"""

from __future__ import annotations

import logging
import random
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from gevent import getcurrent
from gevent.event import Event
from gevent.hub import get_hub

from gearpool.errors import RemoteProtocolError
from gearpool.jobs import Interrupt, Job
from gearpool.logs import emit
from gearpool.metrics import QUICK_S
from gearpool.net.greenlet_streams import GreenletStream
from gearpool.page import NO_FUNCTION, STEP, Activity, pack, tagged
from gearpool.protocol.codec import Decoder, request
from gearpool.protocol.names import text
from gearpool.protocol.packets import REQUEST_MAGIC, RESPONSE_MAGIC, PacketType
from gearpool.worker.functions import FAIR_S, Function
from gearpool.worker.runs import Run
from gearpool.worker.slots import FunctionSlots

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool

log = logging.getLogger("gearpool.worker")

FLUSH_S = 0.0002
READ = 64 * 1024
"""Bytes asked for at once. From 128 KiB on glibc maps each buffer anew: 18 us a read instead of 2.4 (measured)."""
REGRAB_S = 5.0
"""An idle session grabs again this often: gearmand 1.1.20 does not wake anybody when an EPOCH job becomes due."""
SILENT_S = 15.0
"""A server that has not answered for so long is taken for dead: regrab + silence stays below 30 s."""
PART_S = 1.0
"""How long the server has to close its side of a connection that was retired."""
MAX_BACKLOG = 8 * 1024 * 1024
"""Bytes unsent beyond which nothing more is grabbed and `job.data` waits."""
STATUS_EVERY_S = 0.1
SPIN_S = 0.02
"""A NOOP sooner than this after a grab that brought nothing counts as fruitless."""

_GRAB = request(PacketType.GRAB_JOB_UNIQ)
_PRE_SLEEP = request(PacketType.PRE_SLEEP)
_ECHO = request(PacketType.ECHO_REQ, b"gearpool")
_ASSIGN = PacketType.JOB_ASSIGN_UNIQ
_NO_JOB = PacketType.NO_JOB
_NOOP = PacketType.NOOP
_COMPLETE_HEAD = struct.Struct(">4sII")
_SMALL = 1024
_heads = [_COMPLETE_HEAD.pack(REQUEST_MAGIC, PacketType.WORK_COMPLETE, size) for size in range(_SMALL)]


def _head(size: int) -> bytes:
    """The header of a WORK_COMPLETE whose body has ``size`` bytes."""
    return _COMPLETE_HEAD.pack(REQUEST_MAGIC, PacketType.WORK_COMPLETE, size)


class Session:
    """Serves one function over one connection until it is lost, retired or closed.

    Args:
        pool: what it belongs to: slots, crew, runs, limits.
        function: what it serves.
        server: the server's name for logs.
        stream: the connection, on which SET_CLIENT_ID and CAN_DO have not been sent yet.
    """

    def __init__(self, pool: Pool, function: Function, server: str, stream: GreenletStream) -> None:
        self.function = function
        self.function_slots: FunctionSlots = function.slots
        self.server = server
        self.changed = Event()
        """Set when the session is closed or retired: its lane looks."""
        self.reason = ""
        self.retired = False
        self._pool = pool
        self._stream = stream
        self._send = stream.send
        self._hub = get_hub()
        self._loop = self._hub.loop
        self._decoder = Decoder(RESPONSE_MAGIC, pool.max_packet)
        self._closed = False
        # Grabbing.
        self._woken = True
        self._asked = 0
        self._got = 0
        self._window = 1
        self._asked_at = 0.0
        self._heard_at = time.monotonic()
        self._fruitless = 0
        self._resting: Any = None
        # Running.
        self._pending: deque[list[bytes]] = deque()
        self._batch = 0
        self._slow, self._slow_s = 0, 0.0
        self._leader: Any = None
        self._current: list[bytes] | None = None
        self._job: Job | None = None
        self._job_began = 0.0
        self._batch_began = 0.0
        self.holding = 0
        """Jobs that came and are not reported yet: running beside the batch, waiting for a retry, or to be handed back."""
        self.handed_back = 0
        """How many of those will not be reported: the server hands them out again when the connection ends."""
        # Sending.
        self._out: list[bytes] = []
        self._backlog: memoryview | None = None
        self._writable = Event()
        self._speak_due = False
        self.parting = False
        self._parted_at = 0.0
        self.letters: deque[Any] = deque()
        """Who waits for the JOB_CREATED of a dead letter, in the order of submission."""

    # Life.

    def start(self) -> None:
        """Register and begin to serve."""
        self._out.append(request(PacketType.SET_CLIENT_ID, self._pool.client_id(self.function.name)))
        self._out.append(request(PacketType.CAN_DO, self.function.wire_name))
        self._pool.sessions.add(self)
        self._pool.crew.run(self._lead)

    @property
    def closed(self) -> bool:
        """The connection is gone; results of what it ran go nowhere."""
        return self._closed

    @property
    def busy(self) -> bool:
        """It holds jobs, or may be given some."""
        return bool(self._asked or self._pending or self._current is not None or self.holding)

    @property
    def asked(self) -> int:
        """Grabs under way, each with a reserved slot."""
        return self._asked

    @property
    def on_cpu(self) -> Job | None:
        """The job that the leader runs now; None if it runs none."""
        return None if self._current is None else self._leading_job()

    def single_out(self) -> Run | None:
        """In a signal handler: the job that the leader runs, made a run of its own; None if it runs none now."""
        if self._current is None:
            return None
        run = self._promote()
        self._loop.run_callback(self._pool.crew.run, self._lead)
        return run

    def retire(self) -> None:
        """Grab no more; close when everything that was under way is reported. What is held back then is handed back."""
        if not self.retired:
            self.retired = True
            self.changed.set()
            self._pool.slots.forget(self)
            self._soon()

    def close(self, reason: str = "") -> None:
        """Close now. The server hands out again what is not reported."""
        if self._closed:
            return
        self._closed = True
        self.reason = reason
        pool = self._pool
        pool.sessions.discard(self)
        pool.slots.forget(self)
        if self._resting is not None:
            self._resting.stop()
        self.function.did_not_come(self._asked)
        pool.give_back(self._asked + len(self._pending))
        in_batch = self._batch - len(self._pending) - (self._current is not None)
        self._settle_batch(in_batch, time.monotonic())
        hungry = pool.slots.release(self.function_slots, self._asked + len(self._pending))
        self._asked = 0
        self._pending.clear()
        self._batch = int(self._current is not None)
        self._out.clear()
        self._backlog = None
        self._writable.set()
        for letter in self.letters:
            letter.set(ConnectionError(reason or "closed"))
        self.letters.clear()
        self._stream.close()
        self.changed.set()
        if hungry:
            pool.feed_soon()

    def tick(self, now: float) -> None:
        """Called every second or so: grab again when idle, and notice a dead server."""
        if self._closed:
            return
        if self.parting and now - self._parted_at >= PART_S:
            # The server should have closed its side at once; it is dead, or it never saw the end.
            self.close("retired")
            return
        silent = now - self._heard_at
        if silent < REGRAB_S:
            return
        if silent >= SILENT_S:
            self.close(f"no answer for {silent:.0f} s")
            return
        if self._asked or now - self._asked_at < REGRAB_S:
            return
        self._asked_at = now
        self._woken = True
        self._fruitless = 0
        self._ask(now)
        if not self._asked:
            self._out.append(_ECHO)
        self._flush()

    # Grabbing.

    def feed(self) -> None:
        """Slots are free: see `slots.Hungry`."""
        self._soon()

    def resume(self) -> None:
        """A gate has opened, or the pool is no longer quiet."""
        self._woken = True
        self._soon()

    def _ask(self, now: float) -> None:
        if not self._woken or self._closed or self.retired or self._backlog is not None or self._resting is not None:
            return
        function, pool = self.function, self._pool
        if pool.quiet:
            return
        wanted = min(self._window, function.cap) - self._asked - len(self._pending)
        if wanted <= 0:
            return
        if function.paused or function.rate is not None or function.breaker is not None:
            allowed = function.allowed(now)
            if allowed is not None and allowed < wanted:
                if allowed <= 0:
                    if not function.paused:
                        self._rest(min(REGRAB_S, function.gate_wait_s(now)) + 0.001)
                    return
                wanted = allowed
        if pool.budget is not None:
            wanted = min(wanted, pool.budget)
            if wanted <= 0:
                pool.short.add(self)
                return
        granted = pool.slots.reserve(self, wanted)
        if granted == 0:
            return
        if function.rate is not None or function.breaker is not None:
            function.asked(granted)
        if pool.budget is not None:
            pool.budget -= granted
        self._woken = False
        self._asked += granted
        self._asked_at = now
        self._out.append(_GRAB * granted + _PRE_SLEEP)

    def _rest(self, seconds: float) -> None:
        """Do not grab for a while."""
        timer = self._resting = self._loop.timer(seconds)

        def rested() -> None:
            timer.stop()
            timer.close()
            self._resting = None
            self._speak()

        timer.start(rested)

    def _answered(self, jobs: int, none: int) -> None:
        """``jobs`` of the grabs brought a job, ``none`` brought NO_JOB."""
        self._asked -= jobs + none
        self._got += jobs
        if self._asked < 0:
            raise RemoteProtocolError("the server assigned more jobs than were asked for")
        if none:
            self._pool.give_back(none)
            if self._pool.slots.release(self.function_slots, none):
                self._pool.feed_soon()
            self.function.did_not_come(none)
            got = self._got
            if got:
                self._fruitless = 0
            # As many as came and a little more, coming down slowly: NO_JOB is cheap, a further round trip is not.
            self._window = max(got + (got >> 2) + 1, self._window - (self._window >> 3))
            self._got = 0
        elif self._asked == 0 and jobs:
            self._window = min(self._window * 2, self.function_slots.limit)
            self._got = 0
            self._fruitless = 0

    def _noop(self, now: float) -> None:
        self._woken = True
        if self._window and now - self._asked_at < SPIN_S and not self._pending and not self._got:
            # gearmand 1.1.20 answers PRE_SLEEP with NOOP and GRAB with NO_JOB without end when the queue holds a
            # future EPOCH job and a LOW one. With many workers a few fruitless wake-ups are ordinary.
            self._fruitless += 1
            if self._fruitless > 8 and self._resting is None:
                self._rest(min(1.0, 0.001 * 2 ** (self._fruitless - 8)) * (0.5 + random.random()))

    # Leading.

    def _lead(self) -> None:
        """Run what is pending, speak, read; until leadership passes on or the connection ends."""
        me = getcurrent()
        self._leader = me
        self._pool.leaders[me] = self
        monotonic = time.monotonic
        receive, feed = self._stream.receive, self._decoder.feed
        pending = self._pending
        try:
            while not self._closed:
                if pending and not self._run_batch(me):
                    return
                self._speak()
                if self._closed:
                    return
                missing = self._decoder.missing
                data = receive(READ if missing < READ else min(missing, 64 * READ))
                if not data:
                    self.close(self.reason or "closed by the server")
                    return
                now = self._heard_at = monotonic()
                none = 0
                before = len(pending)
                for kind, arguments in feed(data):
                    if kind is _ASSIGN:
                        pending.append(arguments)
                    elif kind is _NO_JOB:
                        none += 1
                    elif kind is _NOOP:
                        self._noop(now)
                    else:
                        self._other(kind, arguments)
                jobs = len(pending) - before
                if jobs or none:
                    self._answered(jobs, none)
        except (OSError, RemoteProtocolError) as error:
            self.close(str(error) or type(error).__name__)
        except Interrupt:
            # Thrown at a job that had just ended. Nothing of it is left; the session goes on under a new leader.
            if not self._closed:
                self._leader = None
                self._pool.crew.run(self._lead)
        finally:
            self._pool.leaders.pop(me, None)

    def _run_batch(self, me: Any) -> bool:  # noqa: C901 - written out: a call a job would cost more than most jobs
        """Run the pending jobs one after another. False when one of them waited and leadership has passed on."""
        function, pool = self.function, self._pool
        pending, out = self._pending, self._out
        append = out.append
        call, takes_job, encode = function.call, function.takes_job, function.encode
        name, wire_name, timeout_s = function.name, function.wire_name, function.settings.timeout_s
        tag, heads, page = tagged(function.index, Activity.JOB), _heads, pool.page
        memory: Any = None if page is None else page.memory
        log_jobs = pool.log_jobs
        monotonic = time.monotonic
        callback = self._loop.run_callback(self._on_wait)
        began = flushed = now = self._batch_began = monotonic()
        self._batch = len(pending)
        job: Job | None = None
        while pending:
            arguments = pending.popleft()
            handle = arguments[0]
            if arguments[1] != wire_name or (function.poison and function.kills(handle, arguments[2])):
                self._set_aside(arguments, now)
                now = self._batch_began = monotonic()
                continue
            if takes_job:
                job = Job(self, name, handle, arguments[2], arguments[3], timeout_s)
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
                if self._leader is not me:
                    pool.ended(pool.runs[me], error)
                    return False
                # It never waited: count those before it, then judge this one, in the midst of the batch.
                pool.ended(self._promote(), error)
                self._leader = me
                pool.leaders[me] = self
                now = self._batch_began = monotonic()
                continue
            now = monotonic()
            if self._leader is not me:
                pool.returned(pool.runs[me], result, now)
                return False
            self._current = None
            size = len(handle) + 1 + len(result)
            if size < _SMALL:
                append(b"%b%b\0%b" % (heads[size], handle, result))
            else:
                out += (_head(size), handle, b"\0", result)
            if me.gr_context is not None:
                me.gr_context = None
            if log_jobs:
                pool.log_complete(job or self._plain_job(arguments), now - self._job_began)
            if now - self._job_began >= QUICK_S:
                self._slow += 1
                self._slow_s += now - self._job_began
                function.counters.ended("complete", now - self._job_began)
            if now - flushed > FLUSH_S:
                self._settle_batch(self._batch - len(pending), now)
                if self._closed:
                    break
                self._speak()
                flushed = now
                if now - began > FAIR_S:
                    # Nobody waited, so nobody else ran: let timers and other lanes have a turn.
                    callback.stop()
                    if page is not None:
                        page.write(now, NO_FUNCTION, Activity.OTHER, b"", b"")
                    self._yield_turn(me)
                    if self._closed:
                        return True
                    callback = self._loop.run_callback(self._on_wait)
                    began = flushed = now = self._batch_began = monotonic()
        self._settle_batch(self._batch - len(pending), now)
        self._batch = 0
        callback.stop()
        return True

    def _yield_turn(self, me: Any) -> None:
        """Let the loop turn once."""
        self._loop.run_callback(me.switch)
        self._hub.switch()

    def _settle_batch(self, done: int, now: float) -> None:
        """Count ``done`` jobs of the batch that ended without waiting, and give back their slots."""
        if done <= 0:
            return
        elapsed = now - self._batch_began
        function = self.function
        # The slow ones were counted one by one; what is left is the quick ones'.
        function.counters.quick(done - self._slow, elapsed - self._slow_s)
        self._slow, self._slow_s = 0, 0.0
        function.cost(elapsed / done)
        self._batch_began = now
        self._batch -= done
        if function.breaker is not None:
            self._pool.succeeded(function)
        self._pool.settled(done)
        if self._pool.slots.release(self.function_slots, done):
            self._pool.feed_soon()

    def _on_wait(self) -> None:
        """In the hub: the leader's handler waits. Make it a run of its own and let another greenlet lead."""
        if self._current is None:
            return
        self._promote()
        if not self._closed:
            self._pool.crew.run(self._lead)

    def _leading_job(self) -> Job:
        """The leader's job; for handlers that do not take one it is made only now."""
        if self._job is None:
            assert self._current is not None
            self._job = self._plain_job(self._current)
        return self._job

    def _plain_job(self, arguments: list[bytes]) -> Job:
        function = self.function
        job = Job(self, function.name, arguments[0], arguments[2], arguments[3], function.settings.timeout_s)
        job.started = self._job_began
        return job

    def _promote(self) -> Run:
        """The job that the leader runs becomes a run of its own, and the session has no leader."""
        pool, function = self._pool, self.function
        run = Run(self, self._leading_job(), self._leader)
        self._settle_batch(self._batch - len(self._pending) - 1, self._job_began)
        self._batch = len(self._pending)
        function.cost(time.monotonic() - self._job_began)
        self._current = self._job = None
        pool.leaders.pop(self._leader, None)
        self._leader = None
        self.holding += 1
        pool.begin(run)
        return run

    def run_again(self, job: Job) -> None:
        """Run a job that waited for its next attempt; its slot is reserved. Called in a greenlet of the crew."""
        me = getcurrent()
        pool, function = self._pool, self.function
        if self._closed:
            pool.drop_slot(function)
            return
        job.started = time.monotonic()
        run = Run(self, job, me)
        pool.begin(run)
        if pool.page is not None:
            pool.page.write(job.started, function.index, Activity.JOB, job.raw_handle, job.raw_unique)
        try:
            result = function.call(job.argument, job) if function.takes_job else function.call(job.argument)
            if result.__class__ is not bytes:
                result = function.encode(result)
        except BaseException as error:  # noqa: BLE001 - as in a batch
            pool.ended(run, error)
        else:
            pool.returned(run, result, time.monotonic())

    def hand_back(self) -> None:
        """Do not report one of its jobs: end the connection when the others on it are done, and let the server have it.

        Gearman has no packet for giving back one job; CANT_DO would give back all of them.
        """
        self.handed_back += 1
        self.retire()

    def _set_aside(self, arguments: list[bytes], now: float) -> None:
        """A job that is not to be run: of a function we do not serve, or poisoned."""
        self._settle_batch(self._batch - len(self._pending) - 1, now)
        self._batch = len(self._pending)
        self.holding += 1
        job = Job(self, text(arguments[1]), arguments[0], arguments[2], arguments[3])
        job.started = now
        self._pool.not_run(self, job)

    # Reporting: what was learned of a job goes to its own connection or nowhere.

    def complete(self, job: Job, result: bytes) -> bool:
        """WORK_COMPLETE. False if the connection is gone, as with the three below."""
        handle = job.raw_handle
        # The NUL belongs there even when the result is empty.
        return self._report(_head(len(handle) + 1 + len(result)), handle, b"\0", result)

    def fail(self, job: Job) -> bool:
        """WORK_FAIL."""
        return self._report(request(PacketType.WORK_FAIL, job.raw_handle))

    def exception(self, job: Job, reason: bytes) -> bool:
        """WORK_EXCEPTION, which ends the job; no WORK_FAIL follows."""
        return self._report(request(PacketType.WORK_EXCEPTION, job.raw_handle, reason))

    def submit_letter(self, function: bytes, unique: bytes, payload: bytes, answer: Any) -> bool:
        """Submit a background job; ``answer.set(None)`` when the server has acknowledged it, ``.set(error)`` else."""
        if self._closed:
            return False
        self.letters.append(answer)
        return self._report(request(PacketType.SUBMIT_JOB_BG, function, unique, payload))

    def _report(self, *parts: bytes) -> bool:
        if self._closed:
            return False
        self._out += parts
        self._soon()
        return True

    def send_data(self, job: Job, data: bytes) -> None:
        """See `jobs.Reporter`. Waits while the server does not read."""
        self._stream_out(job, request(PacketType.WORK_DATA, job.raw_handle, data))

    def send_warning(self, job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        self._stream_out(job, request(PacketType.WORK_WARNING, job.raw_handle, data))

    def send_status(self, job: Job, numerator: int, denominator: int) -> None:
        """See `jobs.Reporter`. At most one each STATUS_EVERY_S, and the last."""
        now = time.monotonic()
        job.status = (numerator, denominator)
        if now - job.status_at < STATUS_EVERY_S and numerator < denominator:
            return
        job.status_at = now
        self._stream_out(job, request(PacketType.WORK_STATUS, job.raw_handle, b"%d" % numerator, b"%d" % denominator))

    def _stream_out(self, job: Job, packet: bytes) -> None:
        if self._closed or self._pool.is_over(job):
            return
        self._out.append(packet)
        self._flush()
        while self._backlog is not None and len(self._backlog) > MAX_BACKLOG and not self._closed:
            self._writable.clear()
            self._writable.wait()

    # Speaking.

    def _soon(self) -> None:
        """Ask and flush when the greenlets that are ready now have had their turn."""
        if not self._speak_due and not self._closed:
            self._speak_due = True
            self._loop.run_callback(self._speak)

    def _speak(self) -> None:
        """Ask for jobs if there are any and slots for them, and send what is to be sent. Never waits."""
        self._speak_due = False
        if self._closed:
            return
        if self._woken:
            self._ask(time.monotonic())
        if self._out:
            self._flush()
        if self.retired and not self._closed and not self._asked and not self._pending and self._backlog is None:
            self._part()

    def _part(self) -> None:
        """Retired: end the connection once nothing runs; the server hands out again what is held back."""
        if self._current is None and self.holding <= self.handed_back and not self.parting:
            self.parting = True
            self._parted_at = time.monotonic()
            self._stream.finish()

    def _flush(self) -> None:
        if self._backlog is not None or self._closed:
            return
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        try:
            sent = self._send(data)
        except OSError as error:
            self.close(str(error))
            return
        if sent < len(data):
            self._backlog = memoryview(data)[sent:]
            self._stream.when_writable(self._write_on)

    def _write_on(self) -> None:
        """In the hub: the server reads again."""
        backlog = self._backlog
        if backlog is None or self._closed:
            return
        try:
            sent = self._send(backlog)
        except OSError as error:
            self.close(str(error))
            return
        if sent < len(backlog):
            self._backlog = backlog[sent:]
            self._stream.when_writable(self._write_on)
        else:
            self._backlog = None
            self._speak()
        if self._backlog is None or len(self._backlog) <= MAX_BACKLOG:
            self._writable.set()

    # Other packets.

    def _other(self, kind: PacketType, arguments: list[bytes]) -> None:
        if kind is PacketType.JOB_CREATED and self.letters:
            self.letters.popleft().set(None)
        elif kind is PacketType.ERROR:
            code = text(arguments[0])
            if code == "JOB_NOT_FOUND":
                # The server does not say which: it was requeued or cancelled meanwhile, or the server has restarted.
                self.function.counters.outcomes["orphaned"] += 1
                emit(
                    log, logging.WARNING, "job.orphaned",
                    "the server no longer knows a job that was reported: it was cancelled, or handed to another worker",
                    function=self.function.name, server=self.server, running=self.holding,
                )  # fmt: skip
            elif self.letters:
                self.letters.popleft().set(ConnectionError(f"{code}: {text(arguments[1])}"))
            else:
                emit(
                    log, logging.ERROR, "server.error", text(arguments[1]),
                    function=self.function.name, server=self.server, code=code,
                )  # fmt: skip
        elif kind is not PacketType.ECHO_RES:
            raise RemoteProtocolError(f"{kind.name} is not for a worker")
