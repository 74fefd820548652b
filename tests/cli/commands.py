"""Runs `gearpool …` as a user's shell does."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from gearpool.cli.main import main

ROOT = Path(__file__).parents[2]


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()


def environment(**extra: str) -> dict[str, str]:
    """This process's environment, without what would choose servers."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GEARPOOL_SERVERS", "GEARMAN_SERVERS")}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


def gearpool(
    *arguments: str | bytes, data: bytes | None = None, code: int | None = 0, env: dict[str, str] | None = None
) -> Done:
    """Run it with ``data`` on standard input (None: /dev/null), and expect this exit code (None: any).

    In this process, on files in place of the standard streams: a new interpreter each time would take minutes.
    """
    words = [os.fsdecode(word) for word in arguments]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(data or b"")
        given.seek(0)
        descriptor = os.open(os.devnull, os.O_RDONLY) if data is None else os.dup(given.fileno())
        with (
            os.fdopen(descriptor, "r") as source,
            os.fdopen(os.dup(out.fileno()), "w") as output,
            os.fdopen(os.dup(err.fileno()), "w") as errors,
            mock.patch.object(sys, "stdin", source),
            mock.patch.object(sys, "stdout", output),
            mock.patch.object(sys, "stderr", errors),
            mock.patch.dict(os.environ, environment(**(env or {})), clear=True),
        ):
            try:
                ended = main(words)
            except SystemExit as left:  # argparse
                ended = left.code if isinstance(left.code, int) else 1
        out.seek(0)
        err.seek(0)
        result = Done(ended, out.read(), err.read().decode("utf-8", "replace"))
    if code is not None:
        assert result.code == code, result
    return result
