"""Runs `gearpool …` at a terminal, as a person does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

from tests.cli.commands import environment

COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;\d+)*m")
"""What sets a colour."""


class Terminal:
    """A terminal of 80 by 24 with a command in its foreground: Ctrl-C typed at it is a SIGINT.

    Attributes:
        seen: everything that was shown.
    """

    def __init__(self, controller: int, terminal: int, process: subprocess.Popen[bytes]) -> None:
        self.seen = b""
        self._controller = controller
        self._terminal = terminal
        self._process = process
        self._before = termios.tcgetattr(terminal)

    @property
    def restored(self) -> bool:
        """Its modes are those it had before."""
        return termios.tcgetattr(self._terminal) == self._before

    def type(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self._controller, keys)

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self._process.send_signal(number)

    def read(self, until: bytes, times: int = 1) -> None:
        """Until this has been shown so many times; fails the test if it is not."""
        end = time.monotonic() + 30
        while self.seen.count(until) < times:
            assert time.monotonic() < end, self.seen
            self._read()

    def wait(self) -> int:
        """The command's exit code, when all that it showed has been read."""
        end = time.monotonic() + 60
        while self._process.poll() is None:
            assert time.monotonic() < end, self.seen
            self._read()
        while self._read():
            pass
        return self._process.returncode

    def _read(self) -> bool:
        if not select.select([self._controller], [], [], 0.05)[0]:
            return False
        self.seen += os.read(self._controller, 4096)
        return True


@contextlib.contextmanager
def at_terminal(*arguments: str, program: str = "", **variables: str) -> Iterator[Terminal]:
    """The command ``gearpool *arguments`` at a terminal of its own, in this environment; ``program`` may start it."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    given = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **variables}
    process = subprocess.Popen(
        [sys.executable, "-c", _START + (program or _RUN), *arguments],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        env={name: value for name, value in environment(**given).items() if name in variables or name != "NO_COLOR"},
    )  # fmt: skip
    try:
        yield Terminal(controller, terminal, process)
    finally:
        process.kill()
        process.wait(10)
        os.close(terminal)
        os.close(controller)


_START = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""The terminal becomes the new session's: else nothing would make a signal of Ctrl-C. And who runs the tests in the
background may have told them to ignore that signal."""

_RUN = """
import sys
from gearpool.cli.main import main
sys.exit(main())
"""
