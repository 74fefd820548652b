"""`gearpool top`: the status, live. Floor 5; rich is loaded only here."""

from __future__ import annotations

import argparse
import time
from typing import Any, NoReturn

from gearpool.cli import control
from gearpool.cli.status import as_text

HELP = "Show the daemon's status and the rate of every function, again and again, until Ctrl-C."
EXAMPLES = """\
examples:
  gearpool top
  gearpool top --every 5
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """How often, which daemon."""
    parser.add_argument("--every", metavar="SECONDS", type=float, default=1.0)
    control.configure(parser)


def run(arguments: argparse.Namespace) -> NoReturn:
    """Show until interrupted; with ``--json`` one line of JSON each time."""
    if arguments.json:
        import json

        while True:
            print(json.dumps(control.ask(arguments, "status")), flush=True)
            time.sleep(arguments.every)
    from rich.live import Live
    from rich.text import Text

    before: dict[str, int] = {}
    asked = time.monotonic()
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            status = control.ask(arguments, "status")
            now = time.monotonic()
            done = completed(status)
            live.update(Text(f"{as_text(status)}\n\n{rates(before, done, now - asked)}"), refresh=True)
            before, asked = done, now
            time.sleep(arguments.every)


def completed(status: Any) -> dict[str, int]:
    """Runs of each function that have ended."""
    return {name: sum((one.get("outcomes") or {}).values()) for name, one in status["functions"].items()}


def rates(before: dict[str, int], done: dict[str, int], seconds: float) -> str:
    """Jobs a second of each function since the last look."""
    rows = [
        (name, round(max(0, count - before[name]) / seconds, 1))
        for name, count in sorted(done.items())
        if name in before and seconds > 0
    ]
    return control.table(("FUNCTION", "JOBS/S"), rows) if rows else ""
