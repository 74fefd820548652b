"""Writes what workers send to standard output and error. Floor 5."""

from __future__ import annotations

import argparse
import os
import sys

from gearpool.cli.tables import shown
from gearpool.protocol.names import text


def write_error(data: bytes) -> None:
    """What a worker sends, to standard error: byte for byte, but at a terminal its control characters as escapes."""
    data = data.removesuffix(b"\n")
    if sys.stderr.isatty():
        data = b"\n".join(shown(text(line)).encode("utf-8", "backslashreplace") for line in data.split(b"\n"))
    sys.stderr.flush()
    sys.stderr.buffer.write(data + b"\n")
    sys.stderr.buffer.flush()


class Writer:
    """Standard output for one job's bytes."""

    def __init__(self, function: str, arguments: argparse.Namespace) -> None:
        self._prefix = os.fsencode(function) + b": " if arguments.prefix else b""
        self._at_start = True
        self._wrote = False

    def write(self, data: bytes) -> None:
        """Write without buffering, so that the reader of a pipe sees each part at once."""
        if not data:
            return
        out = data
        if self._prefix:
            out = b"".join(
                (self._prefix if index or self._at_start else b"") + line
                for index, line in enumerate(data.splitlines(keepends=True))
            )
        self._at_start = data.endswith(b"\n")
        self._wrote = True
        sys.stdout.flush()
        sys.stdout.buffer.write(out)
        sys.stdout.buffer.flush()

    def finish(self, *, always: bool = False) -> None:
        """Write a missing line end: always, or only at a terminal."""
        if (always and not (self._wrote and self._at_start)) or (
            self._wrote and not self._at_start and sys.stdout.isatty()
        ):
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
