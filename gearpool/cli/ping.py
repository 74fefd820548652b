"""`gearpool ping`: is the daemon there? Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control
from gearpool.cli.tables import duration

HELP = "Ask the running daemon whether it is there: exit 0 if it answers, 69 if there is none."
EXAMPLES = """\
examples:
  gearpool ping                       the only daemon on this machine
  gearpool ping -c workers.yaml       a container's health check
"""

configure = control.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask and say."""

    def text(answer: Any) -> str:
        up = duration(answer["uptime_s"])
        return f"{answer['state']}, process {answer['pid']}, up {up}, {answer['config']}"

    return control.show(arguments, control.ask(arguments, "ping"), text)
