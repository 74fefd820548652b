"""`gearpool drain`: leave gracefully. Floor 5."""

from __future__ import annotations

import argparse

from gearpool.cli import leaving

HELP = "Have the daemon finish its jobs within drain_timeout and leave, like the signal TERM, and wait until it has."
EXAMPLES = """\
examples:
  gearpool drain -c workers.yaml
  gearpool drain --no-wait
"""

configure = leaving.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask for it and wait."""
    return leaving.run(arguments, "drain")
