"""`gearpool pause`: grab no more jobs of a function, or of any. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import control

HELP = "Grab no more jobs of FUNCTION, or of any function; those that run go on. Holds until `resume` or a restart."
EXAMPLES = """\
examples:
  gearpool pause thumbnail
  gearpool pause                      all functions, like the signal TSTP
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which function of which daemon."""
    parser.add_argument("function", metavar="FUNCTION", nargs="?", help="default: all")
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it."""
    result = control.ask(arguments, "pause", function=arguments.function)
    return control.show(arguments, result, lambda _: f"paused {arguments.function or 'all functions'}")
