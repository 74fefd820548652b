"""One connection to one job server, shared by all threads: they write, a reader thread of its own reads. Floor 3.

A call is queued in the session under the same lock that queues its bytes, so both have one order. A thread that finds
no other writing writes for all. No caller blocks in a write: when the server accepts no more, a thread is started to
continue, and the callers wait for their own deadlines. The reader's thread also runs the periodic checks of `upkeep`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence

from gearpool.client.defaults import BACKLOG, SEND_LIMIT_S, UNANSWERED, UNREAD
from gearpool.client.session import Call, Session
from gearpool.client.upkeep import Upkeep
from gearpool.errors import RemoteProtocolError
from gearpool.net.reasons import describe
from gearpool.net.streams import Stream
from gearpool.timing import Deadline

SEND_STEP_S = 1.0
"""No step of a wait to write counts for more than this: time in which this process did not run is not the server's."""

READS_IN_A_ROW = 16
"""Then other greenlets may run, in a monkey-patched process; threads run anyway."""


class Connection:
    """A live connection. Made by the pool; not to be used again once `ended` is set.

    Args:
        server: ``host:port``.
        stream: connected.
        session: fresh.
        request_timeout: seconds of silence after which a request counts as unanswered.
        on_end: called once, in the reader's thread, with this connection.
        on_left: called in the reader's thread with (server, reason, calls) when the server has forgotten these jobs.
    """

    def __init__(
        self,
        server: str,
        stream: Stream,
        session: Session,
        *,
        request_timeout: float,
        on_end: Callable[[Connection], None],
        on_left: Callable[[str, str, list[Call]], None],
    ) -> None:
        self.server = server
        self.ended: str | None = None
        """Why it ended; None while it lives."""
        self.retired: bool = False
        """It left a request unanswered: let it finish what it has, and give it nothing new."""
        self._given_up: str | None = None
        """Why this side ended it."""
        self._stream = stream
        self.session = session
        self._on_end = on_end
        self._upkeep = Upkeep(session, server, request_timeout, time.monotonic(), on_left)
        self._lock = threading.Lock()
        self._out: list[bytes] = []
        self._backlog = 0
        self._writing = False
        self._room = threading.Event()
        self._room.set()
        self._reader = threading.Thread(target=self._read, name=f"gearpool-client-{server}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()

    @property
    def usable(self) -> bool:
        """New calls may go here."""
        return self.ended is None and not self.retired

    def call(self, calls: Sequence[Call], data: bytes, deadline: Deadline) -> bool:
        """Send ``data``, whose answers go to ``calls`` in order.

        Returns:
            False if the connection had ended before, so that nothing of it was sent.
        """
        if not self._room.is_set():
            self._room.wait(deadline.timeout())
        return self._queue(calls, data)

    def _queue(self, calls: Sequence[Call], data: bytes) -> bool:
        with self._lock:
            if self.ended is not None:
                return False
            self.session.pending.extend(calls)
            self._out.append(data)
            self._backlog += len(data)
            if self._writing:
                if self._backlog > BACKLOG:
                    self._room.clear()
                return True
            self._writing = True
        self._write()
        return True

    @property
    def reads_here(self) -> bool:
        """The calling thread is the one that reads."""
        return self._reader is threading.current_thread()

    def shut(self, reason: str | None = None) -> None:
        """End it, for this reason; the reader closes the socket."""
        self._given_up = self._given_up or reason
        self._stream.shut()

    def join(self, timeout: float | None) -> None:
        """Wait for the reader to leave."""
        if not self.reads_here:
            self._reader.join(timeout)

    def abandon(self) -> list[Call]:
        """In a forked child: close the descriptor so that the server notices nothing; returns the calls under way."""
        self.ended = "this process was forked: the connection is its parent's"
        self._stream.close()
        return self.session.leftovers()

    def _take(self) -> bytes | None:
        with self._lock:
            if not self._out or self.ended is not None:
                self._writing = False
                self._room.set()
                return None
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._backlog = 0
            self._room.set()
            return data

    def _write(self) -> None:
        try:
            while (data := self._take()) is not None:
                sent = self._stream.send(data)
                if sent < len(data):
                    rest = memoryview(data)[sent:]
                    threading.Thread(
                        target=self._write_on, args=(rest,), name=f"gearpool-writer-{self.server}", daemon=True
                    ).start()
                    return
        except OSError:
            # The reader detects the same end and reports why.
            self._stream.shut()

    def _write_on(self, rest: memoryview) -> None:
        waited = 0.0
        try:
            while rest:
                sent = self._stream.send(rest)
                if sent:
                    rest = rest[sent:]
                    waited = 0.0
                elif waited >= SEND_LIMIT_S:
                    self.shut(UNREAD)
                    return
                else:
                    with contextlib.suppress(TimeoutError):
                        self._stream.wait_writable(Deadline.after(SEND_STEP_S))
                        continue
                    waited += SEND_STEP_S
        except OSError:
            self._stream.shut()
            return
        self._write()

    def _read(self) -> None:
        reason = "closed by the server"
        try:
            self._read_on()
        except OSError as error:
            reason = describe(error)
        except RemoteProtocolError as error:
            reason = f"protocol error: {error}"
        except BaseException as error:
            reason = f"the client's reader failed: {error!r}"
            raise
        finally:
            with self._lock:
                self.ended = self._given_up or reason
            self._room.set()
            self._stream.shut()
            self._stream.close()
            self._on_end(self)

    def _read_on(self) -> None:
        receive, feed, upkeep = self._stream.receive_within, self.session.feed, self._upkeep
        step_s = upkeep.step_s
        step_ms = max(1, int(step_s * 1000))
        tick_at = time.monotonic() + step_s
        row = 0
        monkey = sys.modules.get("gevent.monkey")
        cooperative = monkey is not None and monkey.is_module_patched("time")
        while True:
            data = receive(step_ms)
            if data:
                upkeep.heard = True
                feed(data)
                row += 1
                if row >= READS_IN_A_ROW and cooperative:
                    row = 0
                    time.sleep(0)
            elif data is not None:
                return
            now = time.monotonic()
            if data is None or now >= tick_at:
                tick_at = now + step_s
                self._tick(now, drained=data is None)

    def _tick(self, now: float, *, drained: bool) -> None:
        due = self._upkeep.tick(now, drained=drained)
        if due.silent:
            self.retired = True
        if due.calls and self._backlog < BACKLOG:
            self._queue(due.calls, due.data)
        if self.retired and not self.session.busy and drained:
            self.shut(UNANSWERED)
