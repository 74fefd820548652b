"""Small real handlers, to try a server with and to learn from."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gearpool.jobs import Job


def echo(arg: bytes) -> bytes:
    """The argument, unchanged."""
    return arg


def reverse(arg: bytes) -> bytes:
    """The argument, backwards."""
    return arg[::-1]


def hello(arg: bytes) -> str:
    """A greeting."""
    return f"Hello, {arg.decode(errors='replace') or 'world'}!"


def sleep(arg: bytes, job: Job) -> bytes:
    """Sleep for the number of seconds given, and report progress each tenth."""
    seconds = float(arg or b"1")
    for step in range(10):
        job.progress(step, 10)
        time.sleep(seconds / 10)
    return arg


def wordcount(arg: bytes) -> str:
    """How many words there are."""
    return str(len(arg.split()))


def countdown(arg: bytes) -> Iterator[str]:
    """Stream the numbers from the argument down to 1."""
    for number in range(int(arg or b"3"), 0, -1):
        yield f"{number}\n"
        time.sleep(0.1)


def fail(arg: bytes) -> bytes:
    """Always fail."""
    raise ValueError(arg.decode(errors="replace") or "as asked")
