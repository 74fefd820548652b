"""JSON objects, one a line: the framing of every channel between gearpool's processes. Floor 0; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MAX_LINE = 16 * 1024 * 1024
"""Bytes of a line. A peer that sends a longer one is broken."""


class LineTooLongError(ValueError):
    """The peer sends a line of more than MAX_LINE bytes."""


def encode(value: Any) -> bytes:
    """``value`` as a line; what JSON does not know is sent as its ``str``."""
    return json.dumps(value, separators=(",", ":"), default=str).encode("ascii") + b"\n"


class Decoder:
    """Splits what arrives into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any] | bytes]:
        """The objects of the lines that ``data`` completes; a line that is no JSON object comes as its bytes.

        Raises:
            LineTooLongError: after the complete lines, if the rest is too long.
        """
        lines: list[bytearray] = []
        if b"\n" in data:
            *lines, self._rest = (self._rest + data).split(b"\n")
        else:
            self._rest += data  # without a copy of what came before: a line may come in hundreds of pieces
        for line in lines:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            yield value if isinstance(value, dict) else bytes(line)
        if len(self._rest) > MAX_LINE:
            raise LineTooLongError(f"a line of more than {MAX_LINE} bytes")
