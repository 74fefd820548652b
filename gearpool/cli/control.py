"""What the commands that talk to a running daemon have in common. Floor 5; loads no gevent, pydantic or rich."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gearpool.cli import exits
from gearpool.supervisor import calls


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which daemon is meant."""
    which = parser.add_argument_group("which daemon (default: the only one running)")
    which.add_argument("-c", "--config", metavar="FILE", help="the one that runs this configuration file")
    which.add_argument("--socket", metavar="PATH", help="the one behind this control socket")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def ask(arguments: argparse.Namespace, do: str, time_s: float = calls.TIME_S, **fields: Any) -> Any:
    """Ask the daemon that ``arguments`` mean; raises as `gearpool.supervisor.calls` does."""
    return calls.call(calls.find(arguments.socket, arguments.config), do, time_s, **fields)


def show(arguments: argparse.Namespace, result: Any, text: Callable[[Any], str]) -> int:
    """Print the result as JSON if that was asked for, else what ``text`` makes of it."""
    words = json.dumps(result, indent=2) if arguments.json else text(result)
    if words:
        # A handle or name may hold bytes that are not UTF-8.
        sys.stdout.write(words.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
    return exits.OK


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
    right = [bool(rows) and all(isinstance(row[column], (int, float)) for row in rows) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), *(line(row) for row in cells)])


def duration(seconds: float) -> str:
    """Such as ``3d 4h``, ``2m 5s``, ``0.3s``."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"


def size(count: float) -> str:
    """Bytes as MiB."""
    return f"{count / 2**20:.0f} MiB"
