"""`gearpool resume`: grab jobs again. Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control

HELP = "Grab jobs of FUNCTION again after `pause FUNCTION`, or of all functions after `pause`."
EXAMPLES = """\
examples:
  gearpool resume thumbnail
  gearpool resume                     after `gearpool pause` or the signal TSTP
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which function of which daemon."""
    parser.add_argument("function", metavar="FUNCTION", nargs="?", help="default: what `pause` without one stopped")
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it."""
    result = control.ask(arguments, "resume", function=arguments.function)
    return control.show(arguments, result, lambda _: as_text(arguments.function, result))


def as_text(function: str | None, result: Any) -> str:
    """What goes on, and what does not."""
    lines = [f"resumed {function or 'grabbing'}"]
    if result.get("quiet"):
        lines.append("the daemon as a whole is still paused: gearpool resume")
    still = result.get("paused_functions") or []
    if still:
        lines.append(f"still paused: {', '.join(still)} (gearpool resume FUNCTION)")
    return "\n".join(lines)
