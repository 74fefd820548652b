"""A socket, plain or TLS, that never blocks, for the shell. Floor 3.

``receive`` and ``send`` do what can be done now. The sockets are the standard library's own even where gevent has
patched it, because gevent's would wait; TLS runs over memory buffers for the same reason.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Protocol

from gearpool.errors import ConfigurationError
from gearpool.settings import TlsSettings

_RECORD = 16384


class Stream(Protocol):
    """A connection's bytes."""

    @property
    def established(self) -> bool:
        """False while a handshake is under way."""

    def receive(self, most: int) -> bytes | None:
        """What has come, ``b""`` at the end, None when nothing has come now. OSError when the connection broke."""

    def send(self, data: bytes | memoryview) -> int:
        """Send what fits now and return how many bytes of ``data`` that was. OSError when the connection broke."""

    @property
    def unsent(self) -> bool:
        """Whether bytes are left inside that `flush` would send."""

    def flush(self) -> None:
        """Send what is left inside, as far as it fits now. OSError when the connection broke."""

    def close(self) -> None:
        """Close the socket."""


class PlainStream:
    """TCP."""

    established = True
    unsent = False

    def __init__(self, sock: Any) -> None:
        self._socket = sock
        self._recv = sock.recv
        self._send = sock.send

    def receive(self, most: int) -> bytes | None:
        """See `Stream`."""
        try:
            data: bytes = self._recv(most)
        except (BlockingIOError, InterruptedError):
            return None
        return data

    def send(self, data: bytes | memoryview) -> int:
        """See `Stream`."""
        try:
            return int(self._send(data))
        except (BlockingIOError, InterruptedError):
            return 0

    def flush(self) -> None:
        """See `Stream`."""

    def close(self) -> None:
        """See `Stream`."""
        self._socket.close()


class TlsStream:
    """TLS: the handshake happens inside `receive`."""

    def __init__(self, sock: Any, context: ssl.SSLContext) -> None:
        self._socket = sock
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._left = b""
        self.established: bool = False

    @property
    def unsent(self) -> bool:
        """See `Stream`."""
        return bool(self._left) or self._out.pending > 0

    def receive(self, most: int) -> bytes | None:
        """See `Stream`."""
        try:
            raw = self._socket.recv(most)
            if raw:
                self._in.write(raw)
            else:
                self._in.write_eof()
        except (BlockingIOError, InterruptedError):
            pass
        chunks: list[bytes] = []
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            # Up to the last record: TLS gives no notice of what it still buffers.
            while chunk := self._tls.read(_RECORD):
                chunks.append(chunk)
        except ssl.SSLWantReadError:
            return b"".join(chunks) or None
        except ssl.SSLEOFError:
            pass
        finally:
            # TLS's own records: the handshake, alerts.
            with contextlib.suppress(OSError):
                self.flush()
        return b"".join(chunks)

    def send(self, data: bytes | memoryview) -> int:
        """See `Stream`. At most 64 KiB are taken at once, so that what is encrypted and unsent stays small."""
        self.flush()
        if self._left:
            return 0
        sent = self._tls.write(memoryview(data)[: 4 * _RECORD])
        self.flush()
        return sent

    def flush(self) -> None:
        """See `Stream`."""
        data = self._left + self._out.read()
        if not data:
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        self._left = data[sent:]

    def close(self) -> None:
        """See `Stream`."""
        with contextlib.suppress(ssl.SSLError, OSError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            self.flush()
        self._socket.close()


def server_context(tls: TlsSettings) -> ssl.SSLContext:
    """What a server needs: its certificate and key; with ``ca`` it requires and checks client certificates.

    Raises:
        ConfigurationError: a file is missing or is not what it should be.
    """
    if tls.cert is None:
        raise ConfigurationError("tls: a server needs cert (and key, unless it is in the same file)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls: cannot use cert {tls.cert} with key {tls.key or tls.cert}: {error}") from error
    if tls.ca is not None:
        try:
            context.load_verify_locations(tls.ca)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"tls: cannot use ca {tls.ca}: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
