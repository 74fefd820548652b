"""One connection of a lane: asks for jobs of one function, runs them, sends what they report. Floor 3.

Law: a session is replaced, not repaired. It holds many jobs at once; what it was asked for and what it ran dies with its
connection, because the server hands everything out again. A job that came is either under way as a grab or pending, never
both and never neither, whenever anything else may run: so slots balance wherever a connection ends.

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
from gearpool.net.greenlet_streams import GreenletStream
from gearpool.page import NO_SERVER, Activity, tagged
from gearpool.protocol.codec import Decoder, Packet, request
from gearpool.protocol.names import text
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.worker.batch import Batch
from gearpool.worker.functions import Function
from gearpool.worker.grabs import Grabs
from gearpool.worker.identity import identity
from gearpool.worker.outbox import Outbox
from gearpool.worker.patience import Patience, Silence, Tick
from gearpool.worker.reports import Reports
from gearpool.worker.shares import ServerShare

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool

READ = 64 * 1024
"""Bytes asked for at once. From 128 KiB on glibc maps each buffer anew: 18 us a read instead of 2.4 (measured)."""
SLOWEST_B_PER_S = 4096
"""A grab may stay unanswered for longer while its answer comes at least so fast: a job may be large and the way slow."""
ODD_BURST = 1000
"""Packets that nothing of ours gave a reason for, which a server may send at once before its connection is given up."""
ODD_MOST = 100 * ODD_BURST
ODD_PER_S = 50
ODD_BYTES = 1024
"""So many bytes of such a packet count as a further one."""

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
        share: what the server may keep unanswered, over all its sessions.

    Attributes:
        changed: set when the session is closed or retired: its lane looks.
        server_index: its server's place in the configuration.
        tag: what the page shows with its jobs.
        notes: what is known of jobs that were there when a process died.
        reason: why it was closed.
        retired: it grabs no more.
        holding: jobs that came and are not reported yet: running beside the batch, waiting for a retry, or to be handed
            back.
        handed_back: how many of those will not be reported: the server hands them out again when the connection ends.
    """

    def __init__(
        self, pool: Pool, function: Function, server: str, stream: GreenletStream, share: ServerShare | None = None
    ) -> None:
        self.function = function
        self.server = server
        self.notes = function.notes_of(server)
        self.server_index = next((n for n, each in enumerate(pool.servers) if str(each) == server), NO_SERVER)
        self.tag = tagged(function.index, Activity.JOB, self.server_index)
        self.changed = Event()
        self.reason = ""
        self.retired = False
        self.holding = 0
        self.handed_back = 0
        self.outbox = Outbox(stream, self.speak, self.close)
        self.reports = Reports(pool, server, self.outbox, self._soon, self.notes)
        self._share = share or ServerShare()
        self._grabs = Grabs(pool, function, self._soon, self._share)
        self._batch = Batch(pool, self, self._lead)
        self._pool = pool
        self._stream = stream
        self._loop = get_hub().loop
        self._decoder = Decoder(RESPONSE_MAGIC, pool.max_packet)
        self._patience: Patience = pool.patience
        self._silence, self._unanswered = Silence(), Silence()
        self._heard = True
        self._bytes = self._bytes_at_mark = 0
        self._echoes = 0
        """ECHO_REQ that are not answered."""
        self._may_be_odd = float(ODD_BURST)
        self._reasons = 0
        """Of what we sent, for how much `_may_be_odd` was raised already."""
        self._speak_due = False
        self._parted_s: float | None = None
        """How long ago its retired connection was ended on our side."""

    # Life.

    def start(self) -> None:
        """Register and begin to serve."""
        self.outbox.parts.append(request(PacketType.SET_CLIENT_ID, identity(self._pool.worker_id, self.function.name)))
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
        not_begun = self._batch.close()
        self.function.did_not_come(not_begun)
        will_not_run = not_begun + self._grabs.close()
        pool.give_back(will_not_run)
        if pool.slots.release(self.function.slots, will_not_run):
            pool.feed_soon()
        self.reports.close(reason)
        pool.retries.forget(self)
        pool.suspects.forget(self)
        self._stream.close()
        self.changed.set()

    def tick(self, tick: Tick) -> None:
        """Called every second or so: grab again when idle, and notice a server that is dead or answers nothing."""
        if self.closed:
            return
        patience, silence = self._patience, self._silence
        if self._parted_s is not None:
            self._parted_s += tick.heard_s
            if tick.in_time and self._parted_s >= patience.part_s:
                # The server should have closed its side at once; it is dead, or it never saw the end.
                self.close("retired")
            return
        self._may_be_odd = max(self._may_be_odd, min(ODD_BURST, self._may_be_odd + ODD_PER_S * tick.heard_s))
        if self._heard or self._batch.pending:
            # While jobs are pending nobody reads: what the server said meanwhile is not read yet.
            self._heard = False
            silence.broken()
        else:
            silence.lasts(tick, patience)
        if silence.is_over(patience.silent_s, tick, patience):
            self.close(f"no answer for {silence.seconds:.0f} s")
        elif self._leaves_grabs_unanswered(tick):
            # Whatever else it says, it keeps slots that other servers may need.
            self._share.doubted = True
            self.close(f"asked for jobs, the server has not answered for {self._unanswered.seconds:.0f} s")
        elif silence.must_ask(patience):
            self._ask_again(tick.now)

    def _leaves_grabs_unanswered(self, tick: Tick) -> bool:
        patience, unanswered = self._patience, self._unanswered
        if self._grabs.are_answered():
            unanswered.broken()
            self._bytes_at_mark = self._bytes
        elif not self._batch.pending:
            unanswered.lasts(tick, patience)
        limit_s = patience.doubted_s if self._share.doubted else patience.unanswered_s
        if not unanswered.is_over(limit_s, tick, patience):
            return False
        return self._bytes - self._bytes_at_mark < SLOWEST_B_PER_S * unanswered.seconds

    def _ask_again(self, now: float) -> None:
        under_way = self._grabs.under_way
        if self._grabs.ask_again(now, self._patience.regrab_s):
            self._ask(now)
        if self._grabs.under_way == under_way:
            self._echoes += 1
            self.outbox.parts.append(_ECHO)
        self.outbox.flush()

    # Hearing.

    def _lead(self) -> None:  # noqa: C901 - written out: this runs for each read
        """Run what is pending, speak, read; until leadership passes on or the connection ends."""
        me = getcurrent()
        batch, pool = self._batch, self._pool
        batch.begin(me)
        receive, decoder, grabs = self._stream.receive, self._decoder, self._grabs
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
                now = monotonic()
                self._heard = True
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
                # The payloads in them are the jobs', which may be over before more comes.
                data, arguments = b"", []
                if none or len(pending) > before:
                    try:
                        grabs.answered(len(pending) - before, none)
                    except BaseException:
                        # They have no slots; the grabs keep theirs until `close`.
                        while len(pending) > before:
                            pending.pop()
                        raise
                if others is not None:
                    self._hear_others(others)
        except (OSError, RemoteProtocolError) as error:
            self.close(str(error) or type(error).__name__)
        except Interrupt:
            # Thrown at a job that had just ended. Nothing of it is left; the session goes on under a new leader.
            if not self.closed:
                batch.leader = None
                pool.crew.run(self._lead)
        except BaseException as error:  # noqa: BLE001 - a defect of ours must not leave a function unserved for ever
            self.close(f"internal error: {error!r}")
            pool.server_log.emit(
                logging.ERROR, "worker.error", f"{error!r}; the connection is given up, its jobs come again",
                key=self.function.name, function=self.function.name, server=self.server, exc_info=error,
            )  # fmt: skip
        finally:
            pool.leaders.pop(me, None)

    def _hear_others(self, packets: list[Packet]) -> None:
        """What neither brings a job nor says that there is none or that there may be one.

        Raises:
            RemoteProtocolError: not for a worker, or more of it than a server has reason to send.
        """
        for kind, arguments in packets:
            if kind is PacketType.ECHO_RES and self._echoes:
                self._echoes -= 1
            elif kind is PacketType.JOB_CREATED and self.reports.letter_answered(None):
                continue
            elif kind is PacketType.ERROR:
                self._hear_error(text(arguments[0]), text(arguments[1]))
            elif kind is not _NOOP and kind is not PacketType.ECHO_RES:
                raise RemoteProtocolError(f"{kind.name} is not for a worker")
            else:
                self._hear_odd(1)
            if arguments:
                self._hear_odd(len(arguments[-1]) // ODD_BYTES)

    def _hear_error(self, code: str, message: str) -> None:
        if code != "JOB_NOT_FOUND" and self.reports.letter_answered(ConnectionError(f"{code}: {message}")):
            return
        self._hear_odd(1)
        if code == "JOB_NOT_FOUND":
            # The server does not say which: it was requeued or cancelled meanwhile, or the server has restarted.
            self.function.counters.outcomes["orphaned"] += 1
            self._pool.server_log.emit(
                logging.WARNING, "job.orphaned",
                "the server no longer knows a job that was reported: it was cancelled, or handed to another worker",
                key=f"{self.server} {self.function.name}",
                function=self.function.name, server=self.server, running=self.holding,
            )  # fmt: skip
        else:
            self._pool.server_log.emit(
                logging.ERROR, "server.error", message, key=f"{self.server} {self.function.name}",
                function=self.function.name, server=self.server, code=code,
            )  # fmt: skip

    def _hear_odd(self, count: int) -> None:
        """Something came that nobody asked for.

        Raises:
            RemoteProtocolError: it was too much.
        """
        self._may_be_odd -= count
        if self._may_be_odd < 0:
            # Each report of a job may be answered with an error: as many are no wonder.
            reasons = self._grabs.answered_so_far + self.reports.streamed
            self._may_be_odd += min(reasons - self._reasons, ODD_MOST)
            self._reasons = reasons
            if self._may_be_odd < 0:
                raise RemoteProtocolError("the server sends packets without end that nothing gave it a reason for")

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
        if self._parted_s is None and not self._batch.busy and self.holding <= self.handed_back:
            self._parted_s = 0.0
            self._stream.finish()
