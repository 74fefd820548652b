"""`gearpool kill`: end one running job. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import control

HELP = (
    "End a job that runs or waits for its retry: its handler is interrupted, and its client told that it failed. A handler "
    "that cannot be interrupted is ended with its process, after timeout_grace."
)
EXAMPLES = """\
examples:
  gearpool kill H:web1:4711                   a handle as `gearpool jobs` lists it
  gearpool kill 127.0.0.1:4730/H:web1:4711    as `gearpool submit -b` prints it
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which job of which daemon."""
    parser.add_argument("handle", metavar="HANDLE")
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it."""
    result = control.ask(arguments, "kill", handle=arguments.handle)
    return control.show(arguments, result, lambda _: f"killed {arguments.handle}")
