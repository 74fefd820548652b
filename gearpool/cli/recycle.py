"""`gearpool recycle`: new worker processes. Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control
from gearpool.cli.values import positive

HELP = "Replace worker processes one after the other, each replacement ready before the old one drains."
EXAMPLES = """\
examples:
  gearpool recycle                    all of them
  gearpool recycle --worker 4711      one, by its process id
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which worker of which daemon."""
    parser.add_argument("--worker", metavar="PID", type=positive, help="default: all")
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it."""

    def text(result: Any) -> str:
        return f"replacing {', '.join(map(str, result['workers']))}"

    return control.show(arguments, control.ask(arguments, "recycle", worker=arguments.worker), text)
