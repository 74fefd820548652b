"""Prepares standard output and error, so that no character that a locale lacks ends a command. Floor 5.

Names, handles and ids are bytes on the wire; those that are no UTF-8 are kept as lone surrogates. Into a pipe or a file they
go as the bytes they are, so that a script gets the name itself; a terminal is shown escapes.
"""

from __future__ import annotations

import codecs
import sys

_AS_BYTES = "gearpool.as_bytes"


def prepare() -> None:
    """Let standard output and error take any text, whatever LANG says."""
    codecs.register_error(_AS_BYTES, _as_bytes)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace" if stream.isatty() else _AS_BYTES)


def _as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """A codec's error handler: what stands for a byte becomes it, what the encoding lacks an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    odd = error.object[error.start : error.end]
    out = b"".join(
        bytes([ord(each) & 0xFF]) if "\udc80" <= each <= "\udcff" else each.encode("ascii", "backslashreplace")
        for each in odd
    )
    return out, error.end
