"""Describes socket and TLS errors for operators. Floor 2; pure but for the ssl module's error classes.

A reason says what is wrong and, where the cause is known, what to do. It does not repeat the address, which is in the
error that carries it.
"""

from __future__ import annotations

import errno
import socket

_TEXTS = {
    errno.ECONNREFUSED: "connection refused: nothing listens there",
    errno.ECONNRESET: "connection reset by the server",
    errno.EPIPE: "connection closed by the server",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "no answer from the host: it is down, or a firewall drops the packets",
    errno.EMFILE: "too many open files in this process",
    errno.ENFILE: "too many open files on this machine",
}

PLAIN_TEXT = (
    "the server speaks plain text on this port, not TLS (Debian's gearmand takes --ssl but has no TLS: put stunnel in "
    "front of it)"
)

_EXPIRED, _NOT_YET = 10, 9
_WRONG_NAME = (62, 64)
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)


def describe(error: BaseException) -> str:
    """Why connecting, reading or writing failed, in one line without the address."""
    if type(error).__module__ == "ssl":
        return _describe_tls(error)
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve: {error.strerror or error}"
    if isinstance(error, TimeoutError) and getattr(error, "errno", None) is None:
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None:
        return _TEXTS.get(error.errno) or (error.strerror or str(error)).lower()
    return str(error) or type(error).__name__


def _describe_tls(error: BaseException) -> str:
    code = getattr(error, "verify_code", None)
    if code is not None:
        message = getattr(error, "verify_message", "")
        if code == _EXPIRED:
            return "TLS: the server's certificate has expired"
        if code == _NOT_YET:
            return "TLS: the server's certificate is not valid yet; compare the clocks"
        if code in _WRONG_NAME:
            return f"TLS: the server's certificate is for another name ({message}); set server_name if that is meant"
        if code in _UNKNOWN_ISSUER:
            return f"TLS: the server's certificate is not signed by a trusted authority ({message}); set ca"
        return f"TLS: the server's certificate is refused: {message}"
    reason = str(getattr(error, "reason", "") or "")
    if "CERTIFICATE_REQUIRED" in reason:
        return "TLS: the server requires a client certificate; set cert and key"
    if "HANDSHAKE_FAILURE" in reason:
        return "TLS: the server broke off the handshake; it may require a client certificate (set cert and key)"
    if any(word in reason for word in ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "DECRYPT_ERROR")):
        return f"TLS: the server refuses our client certificate ({_words(reason)})"
    if "CERTIFICATE_EXPIRED" in reason:
        return "TLS: the server reports that our client certificate has expired"
    if any(
        word in reason for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH", "HTTP_REQUEST")
    ):
        return f"TLS: {PLAIN_TEXT}"
    if "EOF" in reason or type(error).__name__ in ("SSLEOFError", "SSLZeroReturnError"):
        return f"TLS: the server closed the connection; perhaps {PLAIN_TEXT}"
    if "timed out" in str(error):
        return "TLS: the handshake did not finish in time"
    return f"TLS: {_words(reason) or error}"


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")
