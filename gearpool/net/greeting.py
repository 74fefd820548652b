"""The first ECHO on a connection: is a job server there that answers? Floor 2; pure: bytes in, yes or an error out.

Why: gearmand at its limit of descriptors accepts and then is silent; TLS 1.3 reports a missing client certificate only
after the handshake; and a port may belong to something else altogether. One round trip detects all of these.
"""

from __future__ import annotations

from gearpool.errors import ConnectFailed, RemoteProtocolError
from gearpool.net.reasons import describe
from gearpool.protocol.codec import Decoder, request
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.settings import ServerSettings

_DATA = b"gearpool"
_ENDS_OF_TLS = ("SSLEOFError", "SSLZeroReturnError")

GREETING = request(PacketType.ECHO_REQ, _DATA)
"""The first bytes on a connection."""


class Greeting:
    """Checks what comes back after `GREETING`.

    Args:
        server: the server, for errors.
    """

    def __init__(self, server: ServerSettings) -> None:
        self._server = server
        self._decoder = Decoder(RESPONSE_MAGIC)

    def answered_by(self, data: bytes) -> bool:
        """Whether ``data`` (empty at the end of the connection) completes the answer.

        Raises:
            ConnectFailed: that is no job server.
        """
        if not data:
            raise self.failed(ConnectionResetError())
        try:
            packets = self._decoder.feed(data)
        except RemoteProtocolError as error:
            if self._server.tls is None and str(error).find("\\x15\\x03") >= 0:
                raise self._no("the server speaks TLS on this port; write gear+tls://") from error
            raise self._no(f"not a job server: {error}") from error
        if not packets:
            return False
        if packets != [(PacketType.ECHO_RES, [_DATA])]:
            raise self._no(f"not a job server: it answered ECHO_REQ with {packets[0][0].name}")
        return True

    def failed(self, error: OSError) -> ConnectFailed:
        """The error for a failure to send or receive; TimeoutError means that nothing came."""
        if isinstance(error, TimeoutError):
            return self._no(
                "connected, but the server does not answer: it is stuck, out of file descriptors, or not a job server"
            )
        # An end just after the handshake; the alert that would say why may be lost to a reset.
        if not isinstance(error, ConnectionError) and type(error).__name__ not in _ENDS_OF_TLS:
            return self._no(describe(error))
        if self._server.tls is None:
            return self._no("the server closed the connection at once; perhaps it speaks TLS: write gear+tls://")
        return self._no(
            "TLS: the server closed the connection after the handshake: perhaps it refuses our client certificate, or "
            "requires a client certificate (set cert and key)"
        )

    def _no(self, reason: str) -> ConnectFailed:
        return ConnectFailed(str(self._server), reason)
