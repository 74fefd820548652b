"""Runs `gearpool …` as a user's shell does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
    """Run it with ``data`` on standard input (None: /dev/null), and expect this exit code (None: any)."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "gearpool", *arguments],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        env=environment(**(env or {})),
        timeout=60,
        check=False,
    )
    result = Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))
    assert "Traceback" not in result.err, result.err
    if code is not None:
        assert result.code == code, result
    return result
