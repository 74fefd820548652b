"""`gearpool ping`: is the daemon there, and does it serve? A container's health check. Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control, exits
from gearpool.cli.tables import duration

HELP = (
    "Ask the running daemon whether it serves: exit 0 if it does (or is draining, paused or quiet), 69 if there is no "
    "daemon or none of its workers is ready. Blocked handlers and absent job servers make no difference."
)
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
        line = f"{answer['state']}, process {answer['pid']}, up {up}, {answer['config']}"
        return f"nothing is served: {answer['problem']}\n{line}" if answer["problem"] else line

    answer = control.ask(arguments, "ping")
    control.show(arguments, answer, text)
    return exits.NO_SERVER if answer["problem"] else exits.OK
