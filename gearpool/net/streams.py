"""A connection that one thread reads while others write: bytes in, bytes out, plain or TLS. Floor 2.

The socket never blocks; all waiting is done in ``poll``. So a writer can always give up in time, and the two directions
of a TLS connection, which OpenSSL does not let two threads use at once, share one lock without either waiting for the
other's bytes. In a monkey-patched process ``poll`` is gevent's and everything is cooperative.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from gearpool.timing import Deadline

RECEIVE_SIZE = 64 * 1024
"""Bytes per read. From 128 KiB on glibc maps each buffer again: 18 us a read instead of 2.4 (measured)."""


class Stream:
    """Wraps a connected socket and owns it.

    One thread calls `receive_within`, any thread, but one at a time, `send`; `shut` may come from anywhere.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)
        self._lock: threading.Lock | contextlib.nullcontext[None] = contextlib.nullcontext()
        self._wait: tuple[type[OSError], ...] = (BlockingIOError,)
        if type(sock).__name__ == "SSLSocket":
            import ssl

            self._lock = threading.Lock()
            self._wait = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self._readable = select.poll()
        self._readable.register(sock.fileno(), select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sock.fileno(), select.POLLOUT)

    def receive_within(self, milliseconds: int) -> bytes | None:
        """The next bytes, at least one; empty when the peer has closed, None when nothing came in this time.

        It reads once more after a timeout: a thread that could not run for that long finds both that the time has passed and
        that there is something to read.

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
        timeout = deadline.timeout()
        # Rounded up: a poll of 0 ms for the last half millisecond would spin.
        if not self._writable.poll(None if timeout is None else int(timeout * 1000) + 1):
            raise TimeoutError

    def shut(self) -> None:
        """End the connection both ways and wake the reader, which then closes it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close only the descriptor, so that the peer notices nothing: for a forked child's copies of its parent's."""
        with contextlib.suppress(OSError):
            self._sock.close()
