"""`gearpool resize`: another concurrency for a function. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import control
from gearpool.cli.values import positive

HELP = "Run up to N jobs of FUNCTION at once in each process, from now until the next reload."
EXAMPLES = """\
examples:
  gearpool resize thumbnail 5
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which function, how many, which daemon."""
    parser.add_argument("function", metavar="FUNCTION")
    parser.add_argument("concurrency", metavar="N", type=positive)
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it."""
    function, concurrency = arguments.function, arguments.concurrency
    result = control.ask(arguments, "resize", function=function, concurrency=concurrency)
    return control.show(arguments, result, lambda _: f"{function}: up to {concurrency} at once in each process")
