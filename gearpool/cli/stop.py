"""`gearpool stop`: leave now. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import leaving

HELP = "Have the daemon leave at once, like the signal QUIT: what runs is interrupted and handed back to the servers."
EXAMPLES = """\
examples:
  gearpool stop                       when `gearpool drain` takes too long
"""

configure = leaving.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask for it and wait."""
    return leaving.run(arguments, "stop")
