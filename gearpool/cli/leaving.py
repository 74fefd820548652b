"""What `drain` and `stop` share: ask the daemon to leave, and wait until it has. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import control, exits
from gearpool.cli.tables import counted
from gearpool.cli.values import duration_or_none
from gearpool.supervisor import calls


def configure(parser: argparse.ArgumentParser) -> None:
    """Which daemon, and for how long to wait."""
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it has left")
    parser.add_argument(
        "--timeout", metavar="TIME", type=duration_or_none, help="wait so long at most (default: until it left)"
    )
    control.configure(parser)


def run(arguments: argparse.Namespace, do: str) -> int:
    """Ask for it; exit 75 if it is still there after ``--timeout``."""
    path = calls.find(arguments.socket, arguments.config)
    result = calls.call(path, do)
    if arguments.no_wait:
        return control.show(
            arguments, result, lambda _: f"leaving, {counted(result['in_progress'], 'job')} in progress"
        )
    gone = calls.wait_until_gone(path, arguments.timeout)
    control.show(arguments, {"gone": gone}, lambda _: "it has left" if gone else "it is still there")
    return exits.OK if gone else exits.TIMED_OUT
