"""Errors in the words an operator needs."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from gearpool.net.reasons import describe


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "nothing listens there"),
        (OSError(errno.EHOSTUNREACH, "x"), "host unreachable"),
        (OSError(errno.ENETUNREACH, "x"), "network unreachable"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "reset by the server"),
        (BrokenPipeError(errno.EPIPE, "x"), "closed by the server"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "a firewall drops"),
        (TimeoutError("timed out"), "no answer in time"),
        (OSError(errno.EMFILE, "x"), "too many open files in this process"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the name does not resolve: Name or"),
        (OSError(errno.EACCES, "Permission denied"), "permission denied"),
        (OSError("bare"), "bare"),
        (ValueError(), "ValueError"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "perhaps the server speaks plain text"),
        (ssl.SSLError(1, "odd"), "TLS: "),
    ],
    ids=repr,
)
def test_each_error_has_its_words(error: BaseException, words: str) -> None:
    assert words in describe(error)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "requires a client certificate"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "may require a client certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refuses our client certificate (tlsv1 alert unknown ca)"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "our client certificate has expired"),
        ("WRONG_VERSION_NUMBER", "speaks plain text"),
        ("UNEXPECTED_EOF_WHILE_READING", "closed the connection"),
        ("SOMETHING_NEW", "TLS: something new"),
    ],
)
def test_each_tls_alert_has_its_words(reason: str, words: str) -> None:
    error = ssl.SSLError(1, "x")
    error.reason = reason
    assert words in describe(error)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (10, "has expired"),
        (9, "not valid yet"),
        (62, "for another name"),
        (64, "for another name"),
        (20, "not signed by a trusted authority"),
        (99, "is refused: because"),
    ],
)
def test_each_verification_failure_has_its_words(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code = code
    error.verify_message = "because"
    assert words in describe(error)
