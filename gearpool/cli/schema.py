"""`gearpool schema`: the configuration file as JSON Schema. Floor 5."""

from __future__ import annotations

import argparse
import json

from gearpool import exit_codes

HELP = "Print the JSON Schema of the configuration file, for editors."
EXAMPLES = """examples:
  gearpool schema > schema.json
  # and in the first line of workers.yaml:  # yaml-language-server: $schema=schema.json
  gearpool schema --part > part.schema.json               # for the files of a folder that are merged
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--part", action="store_true", help="print the schema of one of several files, in which no key is required"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    from gearpool.config import json_schema

    print(json.dumps(json_schema(part=arguments.part), indent=1, ensure_ascii=False))
    return exit_codes.OK
