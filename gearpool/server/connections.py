"""One accepted connection: its stream, its peer in the core, its watchers on gevent's loop. Floor 3.

Everything runs in callbacks of the loop, so nothing here may block or raise. Each callback reads, serves and sends a bounded
amount (`gearpool.server.pacing`). A peer that does not read its replies is not read from either; above ``max_unsent`` it is
disconnected.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Protocol

from gearpool.server.core import Core
from gearpool.server.memory_use import SMALL, MemoryUse
from gearpool.server.pacing import HANDSHAKE_WORK, Pacing
from gearpool.server.records import Peer
from gearpool.server.streams import Stream

PAUSE_READING_AT = 1024 * 1024
"""With this many unsent bytes, nothing more is read from a connection until half of them are sent."""

JOIN_BYTES = 256 * 1024
"""Small pieces are joined up to this size before they are sent."""

SEND_BYTES = 1024 * 1024
"""After this many bytes in one go other connections are served."""

HANDSHAKE_LIMIT_S = 10.0


class Host(Protocol):
    """What a connection uses of the server that accepted it."""

    core: Core
    pacing: Pacing
    memory_use: MemoryUse[Any]
    loop: Any
    max_unsent: int

    def flush_soon(self) -> None:
        """Something may be to be sent: flush all connections at the end of this pass."""

    def put_behind(self, connection: Connection) -> None:
        """It has requests that are not served yet: continue in a later pass."""

    def report(self, level: int, event: str, message: str, **fields: Any) -> None:
        """Log what peers may cause as often as they like, within limits."""

    def gone(self, connection: Connection) -> None:
        """It is closed."""


class Connection:
    """A peer and its socket."""

    __slots__ = (
        "_closing",
        "_fd",
        "_handshake",
        "_out",
        "_out_bytes",
        "_readable",
        "_reading",
        "_server",
        "_stream",
        "_writable",
        "_writing",
        "heard_in",
        "peer",
    )

    def __init__(self, server: Host, stream: Stream, fd: int, peer: Peer, loop: Any) -> None:
        self.peer: Peer = peer
        self._server = server
        self._stream = stream
        self._fd = fd
        self._out: deque[bytes | memoryview] = deque()
        self._out_bytes = 0
        self._closing = False
        self._reading = True
        self._writing = False
        self._readable = loop.io(fd, 1)
        self._writable: Any = None
        self._handshake: Any = None
        self.heard_in: int = server.pacing.passes
        """The pass in which something was received last."""
        if not stream.established:
            self._handshake = loop.timer(HANDSHAKE_LIMIT_S)
            self._handshake.start(self.close, "its TLS handshake did not finish in time")
        self._readable.start(self._on_readable)

    @property
    def name(self) -> str:
        """Its name in the log."""
        return self.peer.address.decode("ascii", "replace")

    @property
    def unsent(self) -> bool:
        """Whether something is still to be sent."""
        return bool(self._out or self.peer.out)

    @property
    def idle(self) -> bool:
        """Whether it may be closed to make room: it runs no job, waits for none, serves no function, and has no unsent
        reply.

        An incomplete packet does not count: half a packet on each connection would keep them all.
        """
        peer = self.peer
        return not (peer.running or peer.watching or peer.queues or peer.behind or self.unsent)

    @property
    def blocked(self) -> bool:
        """Whether its peer leaves so many replies unread that it gets no more."""
        return self._out_bytes > PAUSE_READING_AT

    def _on_readable(self) -> None:
        pacing = self._server.pacing
        if self._handshake is not None:
            # So that this pass ends and another begins.
            self._server.flush_soon()
            if pacing.exhausted:
                # Its bytes wait in the socket until then.
                return
            pacing.served(HANDSHAKE_WORK, 0)
        try:
            data = self._stream.receive(pacing.read_bytes)
        except OSError as error:
            self.close(str(error))
            return
        if data is None:
            if self._stream.unsent:
                self._want_writable()
            return
        if not data:
            if self.peer.spoken and self.unsent:
                # A line piped into nc: the request has ended, the reply has not.
                self._end_after_sending()
            else:
                self.close("")
            return
        if self._handshake is not None and self._stream.established:
            self._handshake.close()
            self._handshake = None
        self.heard_in = pacing.passes
        self._serve(data)

    def advance(self) -> None:
        """Serve more of the requests that were read before."""
        self._serve(b"")

    def _serve(self, data: bytes) -> None:
        server, peer, core = self._server, self.peer, self._server.core
        before = core.work
        budget = server.pacing.work
        try:
            problem = core.receive(peer, data, budget) if data else core.advance(peer, budget)
        except Exception:  # noqa: BLE001 - see below
            # A bug of ours: this connection is closed, the others go on.
            server.report(logging.ERROR, "server.fault", "failed to serve a request", peer=self.name, exc_info=True)
            problem = "internal error"
        server.pacing.served(core.work - before, len(data))
        server.flush_soon()
        if problem:
            server.report(logging.WARNING, "server.refused", f"closing a connection: {problem}", peer=self.name)
            self._end_after_sending()
        elif peer.behind:
            self._stop_reading()
            if self._account():
                server.put_behind(self)
        else:
            if self._out_bytes or peer.decoder.missing or self in server.memory_use:
                self._account()
            if not data and not self.blocked and not self._closing:
                self._start_reading()

    def _end_after_sending(self) -> None:
        self._closing = True
        self._stop_reading()
        if not self.unsent:
            self.close("")

    def flush(self) -> None:
        """Send what the core has put into the peer's ``out``."""
        out = self.peer.out
        size = sum(map(len, out))
        if self._out or size > JOIN_BYTES:
            self._out.extend(out)
            self._out_bytes += size
            out.clear()
            self._send()
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        try:
            sent = self._stream.send(data)
        except OSError as error:
            self.close(str(error))
            return
        if sent < size:
            self._out.append(memoryview(data)[sent:])
            self._out_bytes = size - sent
            self._send()
        elif self._stream.unsent or self._closing:
            self._send()
        elif self in self._server.memory_use:
            self._account()

    def _send(self) -> None:
        """Send as much as the socket accepts, and schedule the rest."""
        out = self._out
        try:
            self._stream.flush()
            room = SEND_BYTES
            while out and room > 0:
                data = out[0] if len(out[0]) >= JOIN_BYTES or len(out) == 1 else self._join()
                sent = self._stream.send(data)
                self._out_bytes -= sent
                room -= sent
                if sent == len(data):
                    out.popleft()
                elif sent:
                    out[0] = memoryview(data)[sent:]
                else:
                    break
        except OSError as error:
            self.close(str(error))
            return
        if out or self._stream.unsent:
            self._wait_to_send()
            return
        if self._writing:
            self._writing = False
            self._writable.stop()
        self._account()
        if self._closing:
            self.close("")
        else:
            self._go_on()

    def _join(self) -> bytes:
        """Join the next small pieces, so that a thousand packets are not a thousand system calls."""
        out, pieces, size = self._out, [], 0
        while out and size < JOIN_BYTES:
            piece = out.popleft()
            pieces.append(piece)
            size += len(piece)
        data = b"".join(pieces)
        out.appendleft(data)
        return data

    def _wait_to_send(self) -> None:
        self._want_writable()
        if not self._account():
            return
        if self.blocked:
            self._stop_reading()
        elif not self._closing and self._out_bytes < PAUSE_READING_AT // 2:
            self._go_on()

    def _go_on(self) -> None:
        """There is room for replies again."""
        if self.peer.behind:
            self._server.put_behind(self)
        elif not self._reading:
            self._start_reading()

    def _account(self) -> bool:
        """Account for its memory. False if it used too much and has been closed."""
        peer = self.peer
        # Payloads of jobs that it runs are in memory whether they have been sent or not.
        owed = self._out_bytes - min(self._out_bytes, peer.lent)
        if owed > self._server.max_unsent:
            self.close(f"it does not read: {self._out_bytes} bytes wait for it")
            return False
        cost = owed + peer.decoder.buffered + peer.unserved
        memory_use = self._server.memory_use
        if cost >= SMALL or self in memory_use:
            memory_use.set(self, cost)
        return True

    def _want_writable(self) -> None:
        if not self._writing:
            if self._writable is None:
                self._writable = self._server.loop.io(self._fd, 2)
            self._writable.start(self._send)
            self._writing = True

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._readable.stop()

    def _start_reading(self) -> None:
        self._reading = True
        self._readable.start(self._on_readable)

    def close(self, reason: str) -> None:
        """Close it; ``reason`` is for the log. Its jobs are handed out again."""
        peer = self.peer
        if peer.closed:
            return
        if reason:
            self._server.report(logging.INFO, "server.lost", f"a connection ended: {reason}", peer=self.name)
        self._readable.stop()
        self._readable.close()
        if self._writable is not None:
            self._writable.stop()
            self._writable.close()
        if self._handshake is not None:
            self._handshake.close()
            self._handshake = None
        self._stream.close()
        self._out.clear()
        self._out_bytes = 0
        peer.out.clear()
        self._server.gone(self)
