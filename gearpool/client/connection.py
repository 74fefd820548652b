"""One connection to one job server, shared by all threads: they write, a reader thread of its own reads. Floor 3.

Law: a call is queued in the session under the same lock that queues its bytes, so both have one order. Whoever finds no
writer at work writes, for all. Nobody blocks in a write: when the server takes no more, a thread is started to go on,
and the callers go back to waiting for their own deadlines.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from gearpool.client.session import Call, Session
from gearpool.errors import RemoteProtocolError
from gearpool.net.reasons import describe
from gearpool.net.streams import Stream
from gearpool.timing import Deadline

SEND_LIMIT_S = 30.0
"""A server that takes not a byte for so long is given up."""

BACKLOG = 4 * 1024 * 1024
"""Bytes waiting to be written beyond which those who submit are made to wait."""


class Connection:
    """A live connection. Made by the pool; not to be used again once `ended` is set.

    Args:
        server: ``host:port``.
        stream: connected.
        session: fresh.
        on_end: called once, in the reader's thread, with this connection.
    """

    def __init__(self, server: str, stream: Stream, session: Session, on_end: Callable[[Connection], None]) -> None:
        self.server = server
        self.ended: str | None = None
        """Why it ended; None while it lives."""
        self.retired = False
        """It left a request unanswered: let it finish what it has, and give it nothing new."""
        self.heard_at = time.monotonic()
        """When bytes last came."""
        self._stream = stream
        self._session = session
        self._on_end = on_end
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

    @property
    def busy(self) -> bool:
        """Jobs are running whose results come over it."""
        return bool(self._session.jobs)

    def call(self, calls: Sequence[Call], data: bytes, deadline: Deadline) -> bool:
        """Send ``data``, whose answers go to ``calls`` in order.

        Returns:
            False if the connection had ended before, so that nothing of it was sent.
        """
        if not self._room.is_set():
            self._room.wait(deadline.timeout())
        with self._lock:
            if self.ended is not None:
                return False
            self._session.pending.extend(calls)
            self._out.append(data)
            self._backlog += len(data)
            if self._writing:
                if self._backlog > BACKLOG:
                    self._room.clear()
                return True
            self._writing = True
        self._write()
        return True

    def followed(self) -> list[tuple[bytes, Call]]:
        """The jobs under way, by their handles; not those of several calls."""
        # Copied in one step: the reader goes on meanwhile.
        return [(handle, entry) for handle, entry in self._session.jobs.copy().items() if isinstance(entry, Call)]

    def forget(self, handle: bytes, call: Call) -> None:
        """The job has no end: the server does not know it any more."""
        self._session.forget(handle, call)

    def shut(self) -> None:
        """End it; the reader closes the socket."""
        self._stream.shut()

    def join(self, timeout: float | None) -> None:
        """Wait for the reader to leave."""
        if self._reader is not threading.current_thread():
            self._reader.join(timeout)

    def abandon(self) -> list[Call]:
        """In a forked child: close the descriptor without a word to the server; the calls under way here."""
        self.ended = "this process was forked: the connection is its parent's"
        self._stream.close()
        return self._session.leftovers()

    def leftovers(self) -> list[Call]:
        """After the end: the calls that were under way."""
        return self._session.leftovers()

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
            # The reader meets the same end and says why.
            self._stream.shut()

    def _write_on(self, rest: memoryview) -> None:
        try:
            while rest:
                self._stream.wait_writable(Deadline.after(SEND_LIMIT_S))
                rest = rest[self._stream.send(rest) :]
        except OSError:
            self._stream.shut()
            return
        self._write()

    def _read(self) -> None:
        reason = "closed by the server"
        receive, feed = self._stream.receive, self._session.feed
        try:
            while data := receive():
                self.heard_at = time.monotonic()
                feed(data)
        except OSError as error:
            reason = describe(error)
        except RemoteProtocolError as error:
            reason = f"protocol error: {error}"
        finally:
            with self._lock:
                self.ended = reason
            self._room.set()
            self._stream.shut()
            self._stream.close()
            self._on_end(self)
