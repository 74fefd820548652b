"""One connection of a lane: grabs jobs of one function, has them run, and sends their results. Floor 3.

A session is replaced, not repaired. It has many jobs at once; when its connection ends, the server hands all of them out
again. Invariant: whenever other code may run, each job that was grabbed is counted either as an unanswered grab or as
pending, never as both or neither. So no slot is lost wherever a connection ends.

`grabs` decides when to grab and how many: [GRAB_JOB_UNIQ × n, PRE_SLEEP] in one write. The greenlet that reads the answer
(the leader, `_lead`) has the `batch` run the jobs. Their results go into the `outbox`, which `send` flushes together with
the next grabs, so no job costs a round trip.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gevent import getcurrent
from gevent.event import Event
from gevent.hub import get_hub

from gearpool.errors import RemoteProtocolError
from gearpool.jobs import Interrupt, Job
from gearpool.net.greenlet_streams import GreenletStream
from gearpool.protocol.codec import Decoder, Packet, request
from gearpool.protocol.names import text
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.protocol.roles import Role, refusal
from gearpool.states import advance
from gearpool.worker.batch import Batch
from gearpool.worker.engine import Engine
from gearpool.worker.functions import Function
from gearpool.worker.grabs import Grabs
from gearpool.worker.identity import identity
from gearpool.worker.outbox import Outbox
from gearpool.worker.replies import Replies
from gearpool.worker.server_timeouts import SilenceTimer, Tick
from gearpool.worker.shares import ServerShare
from gearpool.worker.states import SESSION, SessionEvent, SessionState
from gearpool.worker.unexpected import PACKET_BYTES, UnexpectedPackets

READ = 64 * 1024
"""Bytes per read. From 128 KiB on, glibc maps a new buffer each time: 18 us per read instead of 2.4 (measured)."""
MIN_BYTES_PER_S = 4096
"""While data arrives at least this fast, a grab may stay unanswered for longer: the job may be large."""

_ECHO = request(PacketType.ECHO_REQ, b"gearpool")
_ASSIGN = PacketType.JOB_ASSIGN_UNIQ
_NO_JOB = PacketType.NO_JOB
_NOOP = PacketType.NOOP


class Session:
    """Serves one function over one connection until it is lost, drained or closed.

    Args:
        server: the server's name for logs.
        server_index: the server's index in the configuration.
        stream: a new connection, on which nothing has been sent.
        share: limits the server's unanswered grabs over all its sessions.
        on_close: called once when the session is closed.

    Attributes:
        changed: set when the session starts draining or is closed, for its lane.
        state: see `states.SESSION`.
        reason: why it was closed.
        grabs: decides when to grab, and how many jobs.
        replies: the reports it still owes its server.
        batch: the jobs that its leader runs.
    """

    def __init__(
        self,
        engine: Engine,
        function: Function,
        server: str,
        server_index: int,
        stream: GreenletStream,
        share: ServerShare,
        on_close: Callable[[Session], None],
    ) -> None:
        self.function = function
        self.server = server
        self.changed = Event()
        self.state = SessionState.OPEN
        self.reason = ""
        self.outbox = Outbox(stream, self.send, self.close)
        self.replies = Replies(
            function,
            server,
            server_index,
            self.outbox,
            soon=self._soon,
            hand_back=self._on_hand_back,
            run_again=self._run_again,
            is_abandoned=engine.abandoned.__contains__,
            on_reported=engine.suspects.reported,
        )
        self._engine = engine
        self._share = share
        self.grabs = Grabs(engine.admission, function, self._soon, share)
        self.batch = Batch(engine, self.replies, self._lead, self.send)
        self._on_close = on_close
        self._stream = stream
        self._loop = get_hub().loop
        self._decoder = Decoder(RESPONSE_MAGIC, engine.max_packet)
        self._silence, self._unanswered = SilenceTimer(), SilenceTimer()
        self._data_received = True
        self._bytes = self._bytes_at_mark = 0
        self._echoes = 0
        """The number of unanswered ECHO_REQ packets."""
        self._unexpected = UnexpectedPackets()
        self._send_scheduled = False
        self._finished_s = 0.0
        """For how long our side of the connection has been closed."""

    # Lifecycle.

    def start(self) -> None:
        """Register the function and start serving."""
        worker_id = identity(self._engine.worker_id, self.function.name)
        self.outbox.parts.append(request(PacketType.SET_CLIENT_ID, worker_id))
        self.outbox.parts.append(request(PacketType.CAN_DO, self.function.wire_name))
        self._engine.greenlets.run(self._lead)

    @property
    def closed(self) -> bool:
        """Whether the connection is closed; later results are discarded."""
        return self.outbox.closed

    @property
    def draining(self) -> bool:
        """Whether it grabs no more jobs; it may be closed already."""
        return self.state not in {SessionState.OPEN, SessionState.LOST}

    @property
    def busy(self) -> bool:
        """Whether it has jobs or unanswered grabs."""
        return bool(self.grabs.under_way or self.batch.busy or self.replies.unreported)

    def resume(self) -> None:
        """Grab again: a gate has opened, or the process is no longer quiet."""
        self.grabs.resume()

    def drain(self) -> None:
        """Grab no more; close when all jobs are reported. Idempotent."""
        if self.state is SessionState.OPEN:
            self.state = advance(SESSION, self.state, SessionEvent.DRAIN)
            self.changed.set()
            self.grabs.stop()
            self._soon()

    def close(self, reason: str = "") -> None:
        """Close now; the server hands out unreported jobs again. Idempotent."""
        if self.closed:
            return
        self.state = advance(SESSION, self.state, SessionEvent.CLOSE)
        self.reason = reason
        engine = self._engine
        self._on_close(self)
        self.outbox.close()
        not_started = self.batch.close()
        self.function.return_grabs(not_started)
        will_not_run = not_started + self.grabs.close()
        engine.admission.refund(will_not_run)
        engine.admission.release(self.function.slots, will_not_run)
        self.replies.close(reason)
        engine.retries.forget(self.replies)
        engine.suspects.forget(self.replies)
        self._stream.close()
        self.changed.set()

    def tick(self, tick: Tick) -> None:
        """Called about once a second: grab again when idle, and detect a server that is dead or does not answer."""
        if self.closed:
            return
        timeouts, silence = self._engine.timeouts, self._silence
        if self.state is SessionState.FINISHED:
            self._finished_s += tick.active_s
            if tick.in_time and self._finished_s >= timeouts.finish_s:
                # The server should have closed its side at once: it is dead, or has not noticed.
                self.close("drained")
            return
        self._unexpected.refill(tick.active_s)
        if self._data_received or self.batch.pending:
            # Nothing is read while jobs are pending, so there may be unread packets.
            self._data_received = False
            silence.reset()
        else:
            silence.add(tick, timeouts)
        if silence.exceeds(timeouts.silent_s, tick, timeouts):
            self.close(f"the server has sent nothing for {silence.seconds:.0f} s")
        elif self._leaves_grabs_unanswered(tick):
            # Even if it sends other packets, it withholds slots that other servers may need.
            self._share.unresponsive = True
            self.close(f"the server has not answered a request for jobs for {self._unanswered.seconds:.0f} s")
        elif silence.should_probe(timeouts):
            self._probe(tick.now)

    def _leaves_grabs_unanswered(self, tick: Tick) -> bool:
        timeouts, unanswered = self._engine.timeouts, self._unanswered
        if self.grabs.are_answered():
            unanswered.reset()
            self._bytes_at_mark = self._bytes
        elif not self.batch.pending:
            unanswered.add(tick, timeouts)
        limit_s = timeouts.unresponsive_s if self._share.unresponsive else timeouts.unanswered_s
        if not unanswered.exceeds(limit_s, tick, timeouts):
            return False
        return self._bytes - self._bytes_at_mark < MIN_BYTES_PER_S * unanswered.seconds

    def _probe(self, now: float) -> None:
        under_way = self.grabs.under_way
        if self.grabs.regrab_due(now, self._engine.timeouts.regrab_s):
            self._grab(now)
        if self.grabs.under_way == under_way:
            self._echoes += 1
            self.outbox.parts.append(_ECHO)
        self.outbox.flush()

    def _on_hand_back(self) -> None:
        self.drain()
        self._soon()

    def _run_again(self, job: Job) -> None:
        self.batch.run_again(job)

    # Reading.

    def _lead(self) -> None:  # noqa: C901 - inlined: this runs for each read
        """Run pending jobs, send and read, until another greenlet becomes the leader or the connection ends."""
        me = getcurrent()
        batch, outbox = self.batch, self.outbox
        batch.begin(me)
        receive, decoder, grabs = self._stream.receive, self._decoder, self.grabs
        pending, monotonic = batch.pending, time.monotonic
        try:
            while not outbox.closed:
                if pending and not batch.run(me):
                    return
                self.send()
                if outbox.closed:
                    return
                missing = decoder.missing
                data = receive(READ if missing < READ else min(missing, 64 * READ))
                if not data:
                    self.close(self.reason or "closed by the server")
                    return
                now = monotonic()
                self._data_received = True
                self._bytes += len(data)
                none = 0
                before = len(pending)
                others: list[Packet] | None = None
                for kind, arguments in decoder.feed(data):
                    if kind is _ASSIGN:
                        pending.append(arguments)
                    elif kind is _NO_JOB:
                        none += 1
                    elif kind is _NOOP and not grabs.woken:
                        grabs.noop(now, len(pending))
                    elif others is None:
                        others = [(kind, arguments)]
                    else:
                        others.append((kind, arguments))
                # Do not keep the payloads alive until the next read.
                data, arguments = b"", []
                if none or len(pending) > before:
                    try:
                        grabs.answered(len(pending) - before, none)
                    except BaseException:
                        # These jobs have no slots; the grabs keep theirs until `close`.
                        while len(pending) > before:
                            pending.pop()
                        raise
                if others is not None:
                    self._handle_others(others)
        except (OSError, RemoteProtocolError) as error:
            self.close(str(error) or type(error).__name__)
        except Interrupt:
            # Raised for a job that had just ended. The session continues with a new leader.
            if not self.closed:
                batch.leader = None
                self._engine.greenlets.run(self._lead)
        except BaseException as error:  # noqa: BLE001 - a bug must not leave the function unserved for ever
            self.close(f"internal error: {error!r}")
            self._engine.server_log.emit(
                logging.ERROR, "worker.error", f"{error!r}; the connection is closed; the server hands out its jobs again",
                key=self.function.name, function=self.function.name, server=self.server, exc_info=error,
            )  # fmt: skip
        finally:
            self._engine.running.leaders.pop(me, None)

    def _handle_others(self, packets: list[Packet]) -> None:
        """Handle packets other than jobs, NO_JOB and NOOP.

        Raises:
            RemoteProtocolError: a packet is not for a worker, or there are too many unexpected ones.
        """
        for kind, arguments in packets:
            if kind is PacketType.ECHO_RES and self._echoes:
                self._echoes -= 1
            elif kind is PacketType.JOB_CREATED and self.replies.dead_letter_answered(None):
                continue
            elif kind is PacketType.ERROR:
                self._handle_error(text(arguments[0]), text(arguments[1]))
            elif kind is not _NOOP and kind is not PacketType.ECHO_RES:
                raise refusal(kind, Role.WORKER)
            else:
                self._count_unexpected(1)
            if arguments:
                self._count_unexpected(len(arguments[-1]) // PACKET_BYTES)

    def _handle_error(self, code: str, message: str) -> None:
        unknown_job = code == "JOB_NOT_FOUND"
        if not unknown_job and self.replies.dead_letter_answered(ConnectionError(f"{code}: {message}")):
            return
        self._count_unexpected(1)
        fields = {"function": self.function.name, "server": self.server}
        key = f"{self.server} {self.function.name}"
        if unknown_job:
            # The server does not say which job: it was cancelled or requeued, or the server has restarted.
            self.function.counters.untimed("orphaned")
            self._engine.server_log.emit(
                logging.WARNING, "job.orphaned",
                "the server no longer knows a job that was reported: it was cancelled, or handed to another worker",
                key=key, running=self.replies.unreported, **fields,
            )  # fmt: skip
        else:
            self._engine.server_log.emit(logging.ERROR, "server.error", message, key=key, code=code, **fields)

    def _count_unexpected(self, packets: int) -> None:
        # The server may answer each report with an error.
        self._unexpected.count(packets, self.grabs.answered_total + self.replies.streamed)

    # Sending.

    def _soon(self) -> None:
        """Schedule `send` in this iteration of the event loop."""
        if not self._send_scheduled and not self.closed:
            self._send_scheduled = True
            self._loop.run_callback(self.send)

    def send(self) -> None:
        """Grab jobs if there may be some and slots are free, and flush the outbox. Never blocks."""
        self._send_scheduled = False
        outbox, grabs = self.outbox, self.grabs
        if outbox.closed:
            return
        if grabs.woken:
            self._grab(time.monotonic())
        if outbox.parts:
            outbox.flush()
        if self.state is SessionState.DRAINING and not (
            outbox.closed or outbox.blocked or grabs.under_way or self.batch.busy
        ):
            self._finish()

    def _grab(self, now: float) -> None:
        """Grab, unless there is a backlog: `send` is called again when it has been sent."""
        if self.state is SessionState.OPEN and not self.outbox.blocked:
            packets = self.grabs.grab(now, len(self.batch.pending))
            if packets:
                self.outbox.parts.append(packets)

    def _finish(self) -> None:
        """Close our side of the connection once all jobs are reported, except those that are handed back."""
        if self.replies.all_reported:
            self.state = advance(SESSION, self.state, SessionEvent.FINISH)
            self._stream.finish()
