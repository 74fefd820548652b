"""What users write on the command line: durations, sizes, moments. Floor 5; pure.

The same rule as in the configuration file: a duration carries its unit, a bare number is an error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
LONGEST_S = 10 * 366 * 86400.0
"""The longest duration: what no clock of the system overflows at."""
LARGEST = 1 << 30
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)\Z")
_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB)?\Z")


def duration(text: str) -> float:
    """``500ms``, ``30s``, ``5m``, ``24h``, ``7d`` in seconds."""
    match = _DURATION.match(text)
    if match is None:
        raise argparse.ArgumentTypeError(f'expected a duration such as "30s", got {text!r}')
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is longer than ten years")
    return seconds


def duration_or_none(text: str) -> float | None:
    """A duration, or ``none`` for no limit."""
    return None if text == "none" else duration(text)


def size(text: str) -> int:
    """``100``, ``64KiB``, ``16MiB`` in bytes."""
    match = _SIZE.match(text)
    if match is None:
        raise argparse.ArgumentTypeError(f'expected a size such as "64KiB", got {text!r}')
    found = int(match[1][:20]) * _BYTES[match[2] or ""]
    if found > LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is more than 1GiB")
    return found


def moment(text: str) -> float:
    """``2030-01-31T08:00``, with or without a zone (then local time), or ``@SECONDS``: seconds since 1970."""
    try:
        if text.startswith("@"):
            dt.datetime.fromtimestamp(seconds := float(text[1:]), dt.UTC)
            return seconds
        when = dt.datetime.fromisoformat(text)
        return when.timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f'expected a time such as "2030-01-31T08:00" or "@1900000000", got {text!r}'
        ) from None


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not _is_number(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """A whole number of at least 0."""
    if not _is_number(text):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
