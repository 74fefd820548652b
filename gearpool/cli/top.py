"""`gearpool top`: the status, live. Floor 5."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from gearpool import exit_codes
from gearpool.cli import control, screen
from gearpool.cli.failures import recent_lines
from gearpool.cli.status import (
    FUNCTION_HEAD,
    function_row,
    headline,
    incidents,
    marks,
    notes,
    server_rows,
    workers_table,
)
from gearpool.cli.tables import cut, shown, table
from gearpool.cli.values import duration

HELP = "Show the daemon's status and the rate of every function, refreshed until Ctrl-C. In a pipe: once."
EXAMPLES = """\
examples:
  gearpool top
  gearpool top --every 5s
  gearpool top | head                  one look, with the rates of a second
  gearpool top --json                  a line of JSON a look, until interrupted

The busiest functions come first; those that do not fit are counted in the last line.
"""

_WORKER_ROWS = 4
"""Workers shown while there are functions that need the room."""
_LEAST_ROWS = 3
_RECENT_ROWS = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """How often, which daemon."""
    parser.add_argument(
        "--every", metavar="TIME", type=duration, default=1.0, help="how often to refresh (default: 1s)"
    )
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show until interrupted; on what is no screen, once."""
    if arguments.json:
        while True:
            print(json.dumps(control.ask(arguments, "status")), flush=True)
            time.sleep(arguments.every)
    looks = Looks()
    if not screen.is_screen():
        looks.look(control.ask(arguments, "status"))
        time.sleep(min(1.0, arguments.every))
        print(looks.look(control.ask(arguments, "status"), recent_lines(arguments)))
        return exit_codes.OK

    def frame(width: int, height: int) -> str:
        return looks.look(control.ask(arguments, "status"), recent_lines(arguments, _RECENT_ROWS), width, height)

    return screen.show(frame, arguments.every)


class Looks:
    """What was seen before, so that rates can be told."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._asked = 0.0

    def look(
        self, status: Any, recently: Sequence[str] = (), width: int | None = None, height: int | None = None
    ) -> str:
        """The text of this look; the first has no rates."""
        now = time.monotonic()
        done = completed(status)
        rate = rates(self._before, done, now - self._asked)
        self._before, self._asked = done, now
        return as_text(status, rate, width, height, recently)


def completed(status: Any) -> dict[str, int]:
    """Runs of each function that have ended."""
    return {name: sum((one.get("outcomes") or {}).values()) for name, one in status["functions"].items()}


def rates(before: dict[str, int], done: dict[str, int], seconds: float) -> dict[str, float]:
    """Jobs a second of each function since the last look."""
    return {
        name: round(max(0, count - before[name]) / seconds, 1)
        for name, count in done.items()
        if name in before and seconds > 0
    }


def as_text(
    status: Any,
    rate: dict[str, float],
    width: int | None = None,
    height: int | None = None,
    recently: Sequence[str] = (),
) -> str:
    """One look.

    Args:
        status: what the daemon answered.
        rate: jobs a second by function.
        width: columns of the screen; None: as many as it takes.
        height: its lines, of which the last stays empty; None: as many as it takes.
        recently: lines about failures and stalls.
    """
    lines = [headline(status)]
    lines += notes(status)
    lines += recently
    lines += incidents(status)
    # One by one when something is wrong, else in a word.
    servers = server_rows(status)
    away = [f"{name} {state}" for name, state in servers if state != "connected"]
    connected = len(servers) - len(away)
    lines.append(f"servers: {', '.join([*away, f'{connected} connected'])}")
    lines = [cut(shown(line), width) if width else shown(line) for line in lines]
    lines.append("")
    functions = sorted(status["functions"].items(), key=lambda item: _business(item, rate))
    room = None if height is None else height - 1 - len(lines)
    lines += _workers(status["workers"], width, room, bool(functions))
    if functions:
        room = None if height is None else max(_LEAST_ROWS, height - 1 - len(lines) - 2)
        lines += ["", *_functions(functions, rate, width, room)]
    return "\n".join(lines)


def _business(item: tuple[str, Any], rate: dict[str, float]) -> tuple[float, int, str]:
    name, function = item
    return -rate.get(name, 0.0), -function.get("in_progress", 0), name


def _workers(workers: list[Any], width: int | None, room: int | None, functions: bool) -> list[str]:
    """The blocked ones first."""
    order = sorted(workers, key=lambda worker: (-worker["stalled_s"], -worker["in_progress"], worker["pid"]))
    if room is not None:
        order, more = order[: _most(len(order), _WORKER_ROWS if functions else room - 1)], len(order)
        return [*workers_table(order, width).split("\n"), *_more(more - len(order))]
    return workers_table(order, width).split("\n")


def _functions(
    functions: list[tuple[str, Any]], rate: dict[str, float], width: int | None, room: int | None
) -> list[str]:
    shown_ones = functions if room is None else functions[: _most(len(functions), room)]
    head: tuple[str, ...] = ("FUNCTION", "JOBS/S", *FUNCTION_HEAD)
    rows: list[tuple[object, ...]] = []
    marked = any(marks(function) for _, function in shown_ones)
    for name, function in shown_ones:
        _, *row = function_row(name, function)
        rows.append((name, rate.get(name, ""), *row, *([_mark(function)] if marked else [])))
    if width is not None:
        # What has been done so far is in `gearpool status`; here its rate counts.
        at = head.index("COMPLETE")
        head = (*head[:at], *head[at + 1 :])
        rows = [(*row[:at], *row[at + 1 :]) for row in rows]
    if marked:
        head = (*head, "STATE")
    return [*table(head, rows, left=1, width=width).split("\n"), *_more(len(functions) - len(shown_ones))]


def _mark(function: Any) -> str:
    return ", ".join(mark.partition(" ")[0] for mark in marks(function))


def _most(count: int, room: int) -> int:
    """How many of ``count`` rows fit into ``room`` lines, of which one may have to say how many more there are."""
    return count if count <= room else max(1, room - 1)


def _more(count: int) -> list[str]:
    return [f"{count} more"] if count else []
