"""A display that refreshes itself, for `top` and `--watch`. Floor 5; rich is loaded when there is a screen.

The terminal is restored however the command ends.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TextIO

Frame = Callable[[int, int], str]
"""Renders the text for a screen with this many columns and lines."""


def is_screen(stream: TextIO | None = None) -> bool:
    """Whether standard output, or ``stream``, is a terminal that can be drawn on: no pipe, no file, not ``TERM=dumb``."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def show(frame: Frame, every_s: float) -> NoReturn:
    """Show ``frame`` again every ``every_s`` seconds, until the command is ended by a signal or what ``frame`` raises."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    console = Console()
    with Live(auto_refresh=False, screen=True, console=console) as live:
        while True:
            width, height = console.size
            lines = frame(width, height).split("\n")
            # The last line stays empty: a terminal that wraps behind its last column would scroll.
            live.update(Text("\n".join(lines[: height - 1]), no_wrap=True, overflow="crop"), refresh=True)
            time.sleep(every_s)


def _leave(number: int, _frame: object) -> NoReturn:
    """Restore the screen first; killed outright, it would stay without a cursor."""
    raise SystemExit(128 + number)
