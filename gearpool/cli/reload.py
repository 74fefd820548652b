"""`gearpool reload`: read the configuration and the code again. Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control

HELP = "Read the configuration and the handlers' code again, like the signal HUP, and wait until it is in force."
EXAMPLES = """\
examples:
  gearpool reload -c workers.yaml     exit 1 and nothing changed if the new file or code is bad
"""
TIME_S = 300.0
"""Importing every handler twice may take long."""

configure = control.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask for it and wait."""
    result = control.ask(arguments, "reload", TIME_S)
    return control.show(arguments, result, as_text)


def as_text(result: Any) -> str:
    """What is in force now; by which link, since that may not lead where the operator thinks."""
    resolved = result.get("config_resolved")
    return f"reloaded {result['config']}" + (f" ({resolved})" if resolved else "")
