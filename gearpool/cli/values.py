"""Parses values on the command line: durations, sizes, moments, numbers. Floor 5; pure.

As in the configuration file, a duration carries its unit and a bare number is an error.
"""

from __future__ import annotations

import argparse
import datetime as dt

from gearpool import units

MAX_DURATION_S = 10 * 366 * 86400.0
"""At longer durations some clocks of the system overflow."""
MAX_SIZE = 1 << 30


def duration(text: str) -> float:
    """``500ms``, ``30s``, ``5m``, ``24h``, ``7d`` in seconds."""
    seconds = units.parse(text, units.SECONDS)
    if seconds is None:
        raise argparse.ArgumentTypeError(f'expected a duration such as "30s", got {text!r}')
    if seconds > MAX_DURATION_S:
        raise argparse.ArgumentTypeError(f"{text} is longer than ten years")
    return seconds


def duration_or_none(text: str) -> float | None:
    """A duration, or ``none`` for no limit."""
    return None if text == "none" else duration(text)


def size(text: str) -> int:
    """``100``, ``64KiB``, ``16MiB`` in bytes."""
    found = units.parse(f"{text}B" if _is_number(text) else text, units.BYTES)
    if found is None or not found.is_integer() or "." in text:
        raise argparse.ArgumentTypeError(f'expected a size such as "64KiB", got {text!r}')
    if found > MAX_SIZE:
        raise argparse.ArgumentTypeError(f"{text} is more than 1GiB")
    return int(found)


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
