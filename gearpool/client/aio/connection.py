"""One connection to one job server on an asyncio loop: a protocol that feeds a session. Floor 3.

A call is queued in the session when its bytes are queued for writing, so both have one order. What is submitted before
the next iteration of the loop leaves in one write. Only `room` waits, for a server that does not read. While calls are
under way a timer runs the periodic checks (`gearpool.client.upkeep`); an idle connection has none.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence

from gearpool.client.defaults import BACKLOG, SEND_LIMIT_S, UNANSWERED, UNREAD
from gearpool.client.session import Call, Session
from gearpool.client.upkeep import Upkeep
from gearpool.errors import RemoteProtocolError
from gearpool.net.reasons import describe
from gearpool.net.streams import RECEIVE_SIZE

FLUSH = 64 * 1024
"""Bytes that are written at once instead of being kept for more."""


class AsyncConnection(asyncio.BufferedProtocol):
    """A live connection. Made by the pool; not to be used again once `ended` is set.

    Args:
        server: ``host:port``.
        transport: connected.
        session: fresh.
        request_timeout: seconds of silence after which a request counts as unanswered.
        on_end: called once with this connection.
        on_left: called with (server, reason, calls) when the server has forgotten these jobs.
    """

    def __init__(
        self,
        server: str,
        transport: asyncio.Transport,
        session: Session,
        *,
        request_timeout: float,
        on_end: Callable[[AsyncConnection], None],
        on_left: Callable[[str, str, list[Call]], None],
    ) -> None:
        self.server = server
        self.session = session
        self.ended: str | None = None
        """Why it ended; None while it lives."""
        self.retired: bool = False
        """It left a request unanswered: let it finish what it has, and give it nothing new."""
        self.reads: int = 0
        """How many times bytes have come."""
        self._given_up: str | None = None
        """Why this side ended it."""
        self._transport = transport
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        # Of our own, since asyncio's reads of 256 KiB would be mapped again each time; see RECEIVE_SIZE.
        self._buffer = memoryview(bytearray(RECEIVE_SIZE))
        self._out: list[bytes] = []
        self._backlog = 0
        self._flush_is_due = False
        self._waiting_for_room: asyncio.Future[None] | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._gone = self._loop.create_future()
        self._upkeep = Upkeep(session, server, request_timeout, time.monotonic(), on_left)
        self._tick: asyncio.TimerHandle | None = None
        self._tick_at = 0.0
        transport.set_write_buffer_limits(high=BACKLOG)
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """New calls may go here."""
        return self.ended is None and not self.retired

    @property
    def full(self) -> bool:
        """The server does not read what was sent: wait for `room` before the next call."""
        return self._waiting_for_room is not None

    async def room(self) -> None:
        """Until the server has read some of what was sent, or the connection has ended."""
        while self._waiting_for_room is not None:
            await asyncio.shield(self._waiting_for_room)

    def call(self, calls: Sequence[Call], data: bytes) -> bool:
        """Send ``data``, whose answers go to ``calls`` in order.

        Returns:
            False if the connection had ended before, so that nothing of it was sent.
        """
        if self.ended is not None:
            return False
        self.session.pending.extend(calls)
        self._out.append(data)
        self._backlog += len(data)
        if self._backlog >= FLUSH:
            self._flush()
        elif not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)
        if self._tick is None:
            self._tick_later()
        return True

    def _flush(self) -> None:
        self._flush_is_due = False
        out = self._out
        if not out or self.ended is not None:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._backlog = 0
        self._transport.write(data)

    async def close(self, seconds: float) -> None:
        """Send what is left and close, within this many seconds."""
        if self.ended is None:
            self._flush()
            self._transport.close()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self._transport.abort()

    def shut(self, reason: str) -> None:
        """End it, for this reason, once what is left has been sent."""
        self._given_up = reason
        self._flush()
        self._transport.close()

    def abort(self, reason: str) -> None:
        """End it at once."""
        self._end(reason)
        self._transport.abort()

    def disown(self) -> None:
        """In a forked child: close the descriptor without a word to the server, and without the parent's loop."""
        self.ended = "this process was forked: the connection is its parent's"
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            # In its place, since the transport closes its descriptor some day, which must not be another's by then.
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, sock.fileno(), inheritable=False)
            os.close(null)

    # What asyncio calls.

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """See `asyncio.BufferedProtocol`."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.reads += 1
        self._upkeep.heard = True
        if self.ended is not None:
            return
        try:
            self.session.feed(bytes(self._buffer[:nbytes]))
        except RemoteProtocolError as error:
            self.abort(f"protocol error: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._end(self._given_up or ("closed by the server" if exc is None else describe(exc)))
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`: more than BACKLOG bytes wait."""
        self._waiting_for_room = self._loop.create_future()
        self._expect_progress()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if self._waiting_for_room is not None:
            self._waiting_for_room.set_result(None)
            self._waiting_for_room = None

    def _tick_later(self) -> None:
        self._tick_at = time.monotonic() + self._upkeep.step_s
        self._tick = self._loop.call_later(self._upkeep.step_s, self._tick_now, self.reads)

    def _tick_now(self, reads: int) -> None:
        now = time.monotonic()
        if now > self._tick_at + self._upkeep.step_s and self.reads != reads:
            # The loop was blocked, and what came meanwhile is still being read: only then is it known what is missing.
            self._tick = self._loop.call_later(0, self._tick_now, self.reads)
            return
        self._tick = None
        if self.ended is not None:
            return
        due = self._upkeep.tick(now, drained=True)
        if due.silent:
            self.retired = True
        if due.calls and not self.full:
            self.call(due.calls, due.data)
        if self.retired and not self.session.busy:
            self.shut(UNANSWERED)
        elif self._tick is None and (self.session.pending or self.session.jobs):
            self._tick_later()

    def _expect_progress(self) -> None:
        self._stuck = self._loop.call_later(SEND_LIMIT_S, self._no_progress, self._transport.get_write_buffer_size())

    def _no_progress(self, before: int) -> None:
        if self._transport.get_write_buffer_size() >= before:
            self.abort(UNREAD)
        else:
            self._expect_progress()

    def _end(self, reason: str) -> None:
        if self.ended is not None:
            return
        self.ended = reason
        self._out.clear()
        if self._tick is not None:
            self._tick.cancel()
        self.resume_writing()
        self._on_end(self)
