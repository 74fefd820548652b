"""Shared by the commands that talk to a running daemon. Floor 5; loads no gevent, pydantic or rich."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from gearpool import exit_codes
from gearpool.cli.tables import shown
from gearpool.supervisor import control_client


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the daemon."""
    which = parser.add_argument_group("which daemon (default: the only one running)")
    which.add_argument("-c", "--config", metavar="FILE", help="the daemon that runs this configuration file")
    which.add_argument("--socket", metavar="PATH", help="the daemon behind this control socket")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def ask(arguments: argparse.Namespace, do: str, time_s: float = control_client.TIME_S, **fields: Any) -> Any:
    """Ask the daemon that ``arguments`` mean; raises as `gearpool.supervisor.control_client` does."""
    return control_client.call(control_client.find(arguments.socket, arguments.config), do, time_s, **fields)


def show(arguments: argparse.Namespace, result: Any, text: Callable[[Any], str]) -> int:
    """Print the result as JSON if that was asked for, else what ``text`` makes of it."""
    words = json.dumps(result, indent=2) if arguments.json else text(result)
    if words:
        print(words if arguments.json else "\n".join(map(shown, words.split("\n"))))
    return exit_codes.OK
