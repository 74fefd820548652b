"""`gearpool kill`: end one running job. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import control

HELP = "End a running job: its handler is interrupted and its client told that it failed."
EXAMPLES = """\
examples:
  gearpool kill H:web1:4711           a handle as `gearpool jobs` lists it
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which job of which daemon."""
    parser.add_argument("handle", metavar="HANDLE")
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it."""
    result = control.ask(arguments, "kill", handle=arguments.handle)
    return control.show(arguments, result, lambda _: f"killed {arguments.handle}")
