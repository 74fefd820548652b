"""A connected socket as a worker's session uses it: reads wait in a greenlet, writes never wait. Floor 2.

`send` may be called from anywhere, the hub included, and sends what the kernel accepts at once; `when_writable` calls back
for the rest. `receive` is for one greenlet at a time; it yields now and then however much arrives, so that a peer that sends
without end does not block the process. (`streams` does the same for threads; it costs too much for a worker's jobs.)
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol

import gevent
from gevent.hub import get_hub
from gevent.monkey import get_original

Bytes = bytes | memoryview

FULL_READS = 2
"""Reads in a row that left bytes in the socket, before others may run. Two of 64 KiB full of empty packets keep the
process busy for about 5 ms."""
TLS_READS = 8
"""The same over TLS, where a read brings one record of at most 16 KiB."""


def let_others_run(hub: Any) -> None:
    """Let everything else in this process run, timers and sockets included.

    A callback (``gevent.sleep(0)``) does not: gevent runs up to fifty of them before it checks either.
    """
    timer = hub.loop.timer(0)
    try:
        hub.wait(timer)
    finally:
        timer.close()


class GreenletStream(Protocol):
    """What a session needs of a connection."""

    def receive(self, most: int) -> bytes:
        """Wait for bytes: up to ``most`` of them; ``b""`` at the end. OSError when the connection broke."""

    def send(self, data: Bytes) -> int:
        """Send what fits now, without waiting; returns how many bytes. OSError when the connection broke."""

    def when_writable(self, call: Callable[[], None]) -> None:
        """Call ``call`` once from the hub when `send` may take more."""

    def finish(self) -> None:
        """Send no more; the peer sees the end after all that was sent. Reading continues until `close`.

        Closing at once with unread bytes in the kernel would reset the connection and could cost the peer what was sent.
        """

    def close(self) -> None:
        """Close; a greenlet in `receive` gets ``b""``."""


def greenlet_stream(sock: Any) -> GreenletStream:
    """The stream over a connected gevent socket, which it owns from now on."""
    return TlsStream(sock) if isinstance(sock, ssl.SSLSocket) or hasattr(sock, "_sslobj") else PlainStream(sock)


class _Closed(Exception):
    """Wakes the reader of a stream that was closed."""


class _WritableOnce:
    """Calls back once when a descriptor accepts bytes again."""

    def __init__(self, hub: Any, fd: int) -> None:
        self._hub = hub
        self._fd = fd
        self._watcher: Any = None

    def start(self, call: Callable[[], None]) -> None:
        if self._watcher is not None:
            return
        watcher = self._watcher = self._hub.loop.io(self._fd, 2)

        def ready() -> None:
            self.stop()
            call()

        watcher.start(ready)

    def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None


class PlainStream:
    """TCP. Waits for readiness first when the last read emptied the socket: one system call fewer per read."""

    def __init__(self, sock: Any) -> None:
        # The descriptor in an ordinary non-blocking socket: gevent's own would try, fail and wait each time.
        original = get_original("socket", "socket")
        self._socket: socket.socket = original(fileno=sock.detach())
        self._socket.setblocking(False)
        self._receive = self._socket.recv
        self._send = self._socket.send
        self._hub = get_hub()
        self._readable = self._hub.loop.io(self._socket.fileno(), 1)
        self._writable = _WritableOnce(self._hub, self._socket.fileno())
        self._drained = True
        self._full = 0
        self._closed = False

    def receive(self, most: int) -> bytes:
        """See `GreenletStream`."""
        while not self._closed:
            if self._drained:
                try:
                    self._hub.wait(self._readable)
                except _Closed:
                    break
            try:
                data: bytes = self._receive(most)
            except BlockingIOError:
                self._drained = True
                continue
            if len(data) < most:
                self._drained = True
            else:
                self._full += 1
                self._drained = not self._full % FULL_READS
            return data
        return b""

    def send(self, data: Bytes) -> int:
        """See `GreenletStream`."""
        if self._closed:
            raise BrokenPipeError("closed")
        try:
            return int(self._send(data))
        except BlockingIOError:
            return 0

    def when_writable(self, call: Callable[[], None]) -> None:
        """See `GreenletStream`."""
        if not self._closed:
            self._writable.start(call)

    def finish(self) -> None:
        """See `GreenletStream`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `GreenletStream`."""
        if self._closed:
            return
        self._closed = True
        self._writable.stop()
        # The descriptor must outlive its watcher: the loop throws _Closed into the reader, then closes both.
        self._hub.cancel_waits_close_and_then([self._readable], _Closed, self._socket.close)


class TlsStream:
    """TLS over gevent's SSLSocket."""

    def __init__(self, sock: Any) -> None:
        self._socket = sock
        sock.settimeout(None)
        self._hub = get_hub()
        self._writable = _WritableOnce(self._hub, sock.fileno())
        self._reads = 0
        self._closed = False

    def receive(self, most: int) -> bytes:
        """See `GreenletStream`."""
        self._reads += 1
        if not self._reads % TLS_READS:
            let_others_run(self._hub)
        try:
            data: bytes = self._socket.recv(most)
        except (OSError, ValueError):
            if self._closed:
                return b""
            raise
        return data

    def send(self, data: Bytes) -> int:
        """See `GreenletStream`."""
        if self._closed:
            raise BrokenPipeError("closed")
        try:
            # The object below the cooperative socket: its write does not wait.
            return int(self._socket._sslobj.write(data))
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def when_writable(self, call: Callable[[], None]) -> None:
        """See `GreenletStream`."""
        if not self._closed:
            self._writable.start(call)

    def finish(self) -> None:
        """See `GreenletStream`. The peer sees TLS's close_notify when it is closed; results were sent before."""
        with contextlib.suppress(OSError):
            self._socket._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `GreenletStream`."""
        if self._closed:
            return
        self._closed = True
        self._writable.stop()

        def finish() -> None:
            with contextlib.suppress(OSError):
                self._socket.close()

        # Closing may wait for the peer's close_notify, and the caller must not.
        gevent.spawn(finish)
