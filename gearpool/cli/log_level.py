"""`gearpool log-level`: log more or less. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import control

HELP = "Set the log level of the running daemon and its children, until the next reload."
EXAMPLES = """\
examples:
  gearpool log-level debug
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which level."""
    parser.add_argument("level", metavar="LEVEL", choices=("debug", "info", "warning", "error"))
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it."""
    result = control.ask(arguments, "log-level", level=arguments.level)
    return control.show(arguments, result, lambda _: f"logging {arguments.level} and above")
