"""`gearpool queues`: what the job servers hold. Floor 5."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, NoReturn

from gearpool import exit_codes
from gearpool.cli import screen, servers
from gearpool.cli.tables import cut, shown, table
from gearpool.cli.values import duration
from gearpool.errors import GearpoolError

if TYPE_CHECKING:
    from gearpool.client import Admin, Replies

HELP = "Show the functions with their queued jobs, running jobs and workers, summed over all servers."
EXAMPLES = """examples:
  gearpool queues
  gearpool queues --watch
  gearpool queues -s mail1,mail2:4731 --each --json
"""
INTERMIXED = True

_Rows = dict[tuple[str, str], dict[str, int]]
"""Counts by function and server; the server is empty where sums are shown."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("function", nargs="*", help="show only these functions")
    parser.add_argument(
        "-w", "--watch", nargs="?", const=2.0, type=duration, metavar="TIME", help="refresh every TIME (default: 2s)"
    )
    parser.add_argument("--each", action="store_true", help="print a row for each server instead of sums")
    parser.add_argument("--priorities", action="store_true", help="show queued jobs by priority instead")
    parser.add_argument("--json", action="store_true", help="print JSON, one document per refresh")
    servers.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    with servers.make_client(arguments) as client:
        if arguments.watch is None:
            _show(_look(client.admin, arguments), arguments)
            return exit_codes.OK
        if screen.is_screen() and not arguments.json:
            _watch(client.admin, arguments)
        while True:
            try:
                _show(_look(client.admin, arguments), arguments)
            except GearpoolError as error:
                servers.complain(str(error))
            time.sleep(arguments.watch)


def _watch(admin: Admin, arguments: argparse.Namespace) -> NoReturn:
    def frame(width: int, height: int) -> str:
        lines = [f"{time.strftime('%H:%M:%S')}   every {arguments.watch:g} s", ""]
        try:
            looked = _look(admin, arguments)
        except GearpoolError as error:
            return "\n".join([*lines, shown(str(error))])
        failures = [cut(shown(f"{name}: {reason}"), width) for name, reason in looked["failures"].items()]
        room = max(3, height - 1 - len(lines) - 1 - len(failures))
        rows = sorted(looked["functions"], key=_business)
        some = rows if len(rows) <= room else rows[: room - 1]
        lines.append(_text(some, arguments, width))
        lines += [f"{len(rows) - len(some)} more"] if len(some) < len(rows) else []
        return "\n".join([*lines, *failures])

    screen.show(frame, arguments.watch)


def _business(row: dict[str, Any]) -> tuple[int, int, str]:
    """The longest queue first, then what runs most."""
    queued = row["queued"] if "queued" in row else row["high"] + row["normal"] + row["low"]
    return -queued, -row.get("running", 0), row["function"]


def _look(admin: Admin, arguments: argparse.Namespace) -> dict[str, Any]:
    """``{"functions": [{"function", counts…, "server" if --each}], "failures": {server: reason}}``.

    A server that sent something odd beside its rows is among the failures, too.
    """
    replies: Replies[Any]
    rows: _Rows = {}
    if arguments.priorities:
        replies = queued = admin.priority_status()
        for server, answers in queued.items():
            for row in answers:
                _add(rows, arguments, server, **row._asdict())
    else:
        replies = status = admin.status()
        for server, functions in status.items():
            for function, total, running, workers in functions:
                _add(rows, arguments, server, function, queued=total - running, running=running, workers=workers)
    functions_ = []
    for (function, server), counts in sorted(rows.items()):
        entry: dict[str, Any] = {"function": function, **counts}
        if arguments.each:
            entry["server"] = server
        functions_.append(entry)
    return {"functions": functions_, "failures": servers.failures(replies) | servers.odd_rows(replies)}


def _add(rows: _Rows, arguments: argparse.Namespace, server: str, function: str, **counts: int) -> None:
    if arguments.function and function not in arguments.function:
        return
    row = rows.setdefault((function, server if arguments.each else ""), dict.fromkeys(counts, 0))
    for name, number in counts.items():
        row[name] += number


def _text(functions: list[dict[str, Any]], arguments: argparse.Namespace, width: int | None = None) -> str:
    columns = ["high", "normal", "low", "workers"] if arguments.priorities else ["queued", "running", "workers"]
    names = ["function", "server"] if arguments.each else ["function"]
    rows = [tuple(entry[column] for column in names + columns) for entry in functions]
    return table(tuple(column.upper() for column in names + columns), rows, left=len(names), width=width)


def _show(looked: dict[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json:
        servers.print_json(looked)
    else:
        print(_text(looked["functions"], arguments), flush=True)
    for reason in looked["failures"].values():
        servers.complain(reason)
