"""``make bench``: every benchmark program in turn, a row each. ``python -m tests.benchmarks echo sleeps`` runs some.

Ratios within one run are what counts: these programs share one core and one machine, whose speed drifts.
"""

from __future__ import annotations

import importlib
import sys

PROGRAMS = ["echo", "sleeps", "fairness", "footprint", "embedded", "bystander", "client", "asyncio"]


def main() -> int:
    """Run them; 1 if a goal is missed."""
    missed = 0
    for name in sys.argv[1:] or PROGRAMS:
        for row in importlib.import_module(f"tests.benchmarks.bench_{name}").rows():
            print(row, flush=True)
            missed += not row.met
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
