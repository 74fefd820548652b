"""One connection of a lane: asks for jobs of one function, runs them, sends what they report. Floor 3.

Law: a session is replaced, not repaired. It holds many jobs at once; what it was asked for and what it ran dies with its
connection, because the server hands everything out again.

The way of a job: `grabs` says when to ask and for how many, [GRAB_JOB_UNIQ × n, PRE_SLEEP] in one write; the greenlet that
reads the answer (the leader, `lead`) has the `batch` run the jobs; what becomes of them the `reports` put into the
`outbox`, and `speak` sends it together with the next grabs. So nobody ever waits for a round trip a job.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gevent import getcurrent
from gevent.event import Event
from gevent.hub import get_hub

from gearpool.errors import RemoteProtocolError
from gearpool.jobs import Interrupt, Job
from gearpool.logs import emit
from gearpool.net.greenlet_streams import GreenletStream
from gearpool.protocol.codec import Decoder, request
from gearpool.protocol.names import text
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.worker.batch import Batch
from gearpool.worker.functions import Function
from gearpool.worker.grabs import REGRAB_S, Grabs
from gearpool.worker.outbox import Outbox
from gearpool.worker.reports import Reports

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool

log = logging.getLogger("gearpool.worker")

READ = 64 * 1024
"""Bytes asked for at once. From 128 KiB on glibc maps each buffer anew: 18 us a read instead of 2.4 (measured)."""
SILENT_S = 15.0
"""A server that has not answered for so long is taken for dead: regrab + silence stays below 30 s."""
PART_S = 1.0
"""How long the server has to close its side of a connection that was retired."""

_ECHO = request(PacketType.ECHO_REQ, b"gearpool")
_ASSIGN = PacketType.JOB_ASSIGN_UNIQ
_NO_JOB = PacketType.NO_JOB
_NOOP = PacketType.NOOP


class Session:
    """Serves one function over one connection until it is lost, retired or closed.

    Args:
        pool: what it belongs to: slots, crew, runs, limits.
        function: what it serves.
        server: the server's name for logs.
        stream: the connection, on which SET_CLIENT_ID and CAN_DO have not been sent yet.

    Attributes:
        changed: set when the session is closed or retired: its lane looks.
        reason: why it was closed.
        retired: it grabs no more.
        holding: jobs that came and are not reported yet: running beside the batch, waiting for a retry, or to be handed
            back.
        handed_back: how many of those will not be reported: the server hands them out again when the connection ends.
    """

    def __init__(self, pool: Pool, function: Function, server: str, stream: GreenletStream) -> None:
        self.function = function
        self.server = server
        self.changed = Event()
        self.reason = ""
        self.retired = False
        self.holding = 0
        self.handed_back = 0
        self.outbox = Outbox(stream, self.speak, self.close)
        self.reports = Reports(pool, server, self.outbox, self._soon)
        self._grabs = Grabs(pool, function, self._soon)
        self._batch = Batch(pool, self, self._lead)
        self._pool = pool
        self._stream = stream
        self._loop = get_hub().loop
        self._decoder = Decoder(RESPONSE_MAGIC, pool.max_packet)
        self._heard_at = time.monotonic()
        self._speak_due = False
        self._parted_at: float | None = None

    # Life.

    def start(self) -> None:
        """Register and begin to serve."""
        self.outbox.parts.append(request(PacketType.SET_CLIENT_ID, self._pool.client_id(self.function.name)))
        self.outbox.parts.append(request(PacketType.CAN_DO, self.function.wire_name))
        self._pool.sessions.add(self)
        self._pool.crew.run(self._lead)

    @property
    def closed(self) -> bool:
        """The connection is gone; results of what it ran go nowhere."""
        return self.outbox.closed

    @property
    def busy(self) -> bool:
        """It holds jobs, or may be given some."""
        return bool(self._grabs.under_way or self._batch.busy or self.holding)

    @property
    def asked(self) -> int:
        """Grabs under way, each with a reserved slot."""
        return self._grabs.under_way

    def resume(self) -> None:
        """A gate has opened, or the pool is no longer quiet."""
        self._grabs.resume()

    def run_again(self, job: Job) -> None:
        """See `Batch.run_again`."""
        self._batch.run_again(job)

    def hand_back(self) -> None:
        """Do not report one of its jobs: end the connection when the others on it are done, and let the server have it.

        Gearman has no packet for giving back one job; CANT_DO would give back all of them.
        """
        self.handed_back += 1
        self.retire()
        self._soon()

    def retire(self) -> None:
        """Grab no more; close when everything that was under way is reported. What is held back then is handed back."""
        if not self.retired:
            self.retired = True
            self.changed.set()
            self._grabs.stop()
            self._soon()

    def close(self, reason: str = "") -> None:
        """Close now. The server hands out again what is not reported."""
        if self.closed:
            return
        self.reason = reason
        pool = self._pool
        pool.sessions.discard(self)
        self.outbox.close()
        will_not_run = self._batch.close() + self._grabs.close()
        pool.give_back(will_not_run)
        if pool.slots.release(self.function.slots, will_not_run):
            pool.feed_soon()
        self.reports.close(reason)
        pool.retries.forget(self)
        self._stream.close()
        self.changed.set()

    def tick(self, now: float) -> None:
        """Called every second or so: grab again when idle, and notice a dead server."""
        if self.closed:
            return
        if self._parted_at is not None and now - self._parted_at >= PART_S:
            # The server should have closed its side at once; it is dead, or it never saw the end.
            self.close("retired")
            return
        silent = now - self._heard_at
        if silent < REGRAB_S:
            return
        if silent >= SILENT_S:
            self.close(f"no answer for {silent:.0f} s")
        elif self._grabs.ask_again(now):
            self._ask(now)
            if not self._grabs.under_way:
                self.outbox.parts.append(_ECHO)
            self.outbox.flush()

    # Hearing.

    def _lead(self) -> None:
        """Run what is pending, speak, read; until leadership passes on or the connection ends."""
        me = getcurrent()
        batch, pool = self._batch, self._pool
        batch.begin(me)
        receive, decoder = self._stream.receive, self._decoder
        pending, monotonic = batch.pending, time.monotonic
        try:
            while not self.closed:
                if pending and not batch.run(me):
                    return
                self.speak()
                if self.closed:
                    return
                missing = decoder.missing
                data = receive(READ if missing < READ else min(missing, 64 * READ))
                if not data:
                    self.close(self.reason or "closed by the server")
                    return
                now = self._heard_at = monotonic()
                none = 0
                before = len(pending)
                for kind, arguments in decoder.feed(data):
                    if kind is _ASSIGN:
                        pending.append(arguments)
                    elif kind is _NO_JOB:
                        none += 1
                    elif kind is _NOOP:
                        self._grabs.noop(now, len(pending))
                    else:
                        self._other(kind, arguments)
                # The payloads in them are the jobs', which may be over before more comes.
                data, arguments = b"", []
                jobs = len(pending) - before
                if jobs or none:
                    self._grabs.answered(jobs, none)
        except (OSError, RemoteProtocolError) as error:
            self.close(str(error) or type(error).__name__)
        except Interrupt:
            # Thrown at a job that had just ended. Nothing of it is left; the session goes on under a new leader.
            if not self.closed:
                batch.leader = None
                pool.crew.run(self._lead)
        except BaseException as error:  # noqa: BLE001 - a defect of ours must not leave a function unserved for ever
            self.close(f"internal error: {error!r}")
            emit(
                log, logging.ERROR, "worker.error", f"{error!r}; the connection is given up, its jobs come again",
                function=self.function.name, server=self.server, exc_info=error,
            )  # fmt: skip
        finally:
            pool.leaders.pop(me, None)

    def _other(self, kind: PacketType, arguments: list[bytes]) -> None:
        if kind is PacketType.ECHO_RES or (kind is PacketType.JOB_CREATED and self.reports.letter_answered(None)):
            return
        if kind is not PacketType.ERROR:
            raise RemoteProtocolError(f"{kind.name} is not for a worker")
        code, message = text(arguments[0]), text(arguments[1])
        if code == "JOB_NOT_FOUND":
            # The server does not say which: it was requeued or cancelled meanwhile, or the server has restarted.
            self.function.counters.outcomes["orphaned"] += 1
            emit(
                log, logging.WARNING, "job.orphaned",
                "the server no longer knows a job that was reported: it was cancelled, or handed to another worker",
                function=self.function.name, server=self.server, running=self.holding,
            )  # fmt: skip
        elif not self.reports.letter_answered(ConnectionError(f"{code}: {message}")):
            emit(
                log, logging.ERROR, "server.error", message,
                function=self.function.name, server=self.server, code=code,
            )  # fmt: skip

    # Speaking.

    def _soon(self) -> None:
        """Ask and flush when the greenlets that are ready now have had their turn."""
        if not self._speak_due and not self.closed:
            self._speak_due = True
            self._loop.run_callback(self.speak)

    def speak(self) -> None:
        """Ask for jobs if there are any and slots for them, and send what is to be sent. Never waits."""
        self._speak_due = False
        outbox, grabs = self.outbox, self._grabs
        if outbox.closed:
            return
        if grabs.woken:
            self._ask(time.monotonic())
        if outbox.parts:
            outbox.flush()
        if self.retired and not (outbox.closed or outbox.blocked or grabs.under_way or self._batch.pending):
            self._part()

    def _ask(self, now: float) -> None:
        """What is behind a backlog can wait until that is gone: `speak` is called again then."""
        if not (self.retired or self.outbox.blocked):
            packets = self._grabs.ask(now, len(self._batch.pending))
            if packets:
                self.outbox.parts.append(packets)

    def _part(self) -> None:
        """Retired: end the connection once nothing runs; the server hands out again what is held back."""
        if self._parted_at is None and not self._batch.busy and self.holding <= self.handed_back:
            self._parted_at = time.monotonic()
            self._stream.finish()
