"""`gearpool schema`: the configuration file as JSON Schema. Floor 5."""

from __future__ import annotations

import argparse
import json

from gearpool.cli import exits

HELP = "print the JSON Schema of the configuration file, for editors"
EXAMPLES = """examples:
  gearpool schema > schema.json
  # and in the first line of workers.yaml:  # yaml-language-server: $schema=schema.json
"""


def configure(_parser: argparse.ArgumentParser) -> None:
    """It takes no arguments."""


def run(_arguments: argparse.Namespace) -> int:
    """Print it."""
    from gearpool.config import json_schema

    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
    return exits.OK
