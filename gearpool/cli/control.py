"""What the commands that talk to a running daemon have in common. Floor 5; loads no gevent, pydantic or rich."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from gearpool.cli import exits
from gearpool.cli.tables import shown
from gearpool.supervisor import calls


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which daemon is meant."""
    which = parser.add_argument_group("which daemon (default: the only one running)")
    which.add_argument("-c", "--config", metavar="FILE", help="the one that runs this configuration file")
    which.add_argument("--socket", metavar="PATH", help="the one behind this control socket")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def ask(arguments: argparse.Namespace, do: str, time_s: float = calls.TIME_S, **fields: Any) -> Any:
    """Ask the daemon that ``arguments`` mean; raises as `gearpool.supervisor.calls` does."""
    return calls.call(calls.find(arguments.socket, arguments.config), do, time_s, **fields)


def show(arguments: argparse.Namespace, result: Any, text: Callable[[Any], str]) -> int:
    """Print the result as JSON if that was asked for, else what ``text`` makes of it."""
    words = json.dumps(result, indent=2) if arguments.json else text(result)
    if words:
        print(words if arguments.json else "\n".join(map(shown, words.split("\n"))))
    return exits.OK
