"""A connection that one thread reads while others write: bytes in, bytes out, plain or TLS. Floor 2.

Law: the socket never blocks; whoever must wait, waits in ``poll``. So a writer can always give up in time, and the two
directions of a TLS connection, which OpenSSL does not let two threads use at once, take turns under one lock without
either waiting for the other's bytes. In a monkey-patched process ``poll`` is gevent's and everything is cooperative.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType

from gearpool.timing import Deadline

RECEIVE_SIZE = 64 * 1024
"""Bytes asked for at once. From 128 KiB on glibc maps each buffer anew: 18 us a read instead of 2.4 (measured)."""


class _NoLock:
    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Stream:
    """Wraps a connected socket and owns it.

    One thread calls `receive`, any thread, but one at a time, `send`; `shut` may come from anywhere.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)
        self._lock: threading.Lock | _NoLock = _NoLock()
        self._wait: tuple[type[OSError], ...] = (BlockingIOError,)
        if type(sock).__name__ == "SSLSocket":
            import ssl

            self._lock = threading.Lock()
            self._wait = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self._readable = select.poll()
        self._readable.register(sock.fileno(), select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sock.fileno(), select.POLLOUT)

    def receive(self, deadline: Deadline | None = None) -> bytes:
        """The next bytes, at least one; empty when the peer has closed.

        Raises:
            TimeoutError: the deadline came first.
            OSError: the connection broke.
        """
        sock, lock, wait = self._sock, self._lock, self._wait
        while True:
            try:
                with lock:
                    return sock.recv(RECEIVE_SIZE)
            except wait:
                pass
            _poll(self._readable, deadline)

    def receive_within(self, milliseconds: int) -> bytes | None:
        """As `receive`, but None when nothing came in this time.

        It reads once more after a wait that was in vain: whoever was kept from running for longer than that finds both,
        that the time is over and that there is something to read.

        Raises:
            OSError: the connection broke.
        """
        sock, lock, wait = self._sock, self._lock, self._wait
        in_vain = False
        while True:
            try:
                with lock:
                    return sock.recv(RECEIVE_SIZE)
            except wait:
                pass
            if in_vain:
                return None
            in_vain = not self._readable.poll(milliseconds)

    def send(self, data: bytes | memoryview) -> int:
        """Give the system as much of ``data`` as it takes now; how many bytes that was, perhaps 0.

        Raises:
            OSError: the connection broke.
        """
        try:
            with self._lock:
                return self._sock.send(data)
        except self._wait:
            return 0

    def wait_writable(self, deadline: Deadline) -> None:
        """Until `send` may take more.

        Raises:
            TimeoutError: the deadline came first.
        """
        _poll(self._writable, deadline)

    def send_all(self, data: bytes, deadline: Deadline) -> None:
        """Send everything.

        Raises:
            TimeoutError: the deadline came first; an unknown part was sent.
            OSError: the connection broke.
        """
        view = memoryview(data)
        while view:
            sent = self.send(view)
            if sent:
                view = view[sent:]
            else:
                self.wait_writable(deadline)

    def shut(self) -> None:
        """End the connection both ways and wake the reader, which then closes it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back, without a word to the peer: a forked child may do so with its parent's."""
        with contextlib.suppress(OSError):
            self._sock.close()


def _poll(poller: select.poll, deadline: Deadline | None) -> None:
    timeout = None if deadline is None else deadline.timeout()
    # Rounded up: a poll of 0 ms for the last half millisecond would spin.
    if not poller.poll(None if timeout is None else int(timeout * 1000) + 1):
        raise TimeoutError
