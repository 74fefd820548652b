"""``make bench``: every benchmark program in turn, a row each. ``python -m tests.benchmarks echo sleeps`` runs some.

Ratios within one run are what counts: these programs share one core and one machine, whose speed drifts.
"""

from __future__ import annotations

import importlib
import sys

from _pytest.outcomes import OutcomeException

PROGRAMS = ["echo", "sleeps", "fairness", "footprint", "embedded", "bystander", "client", "asyncio"]


def main() -> int:
    """Run them; 1 if a goal is missed or a program could not be run, which keeps none of the others."""
    missed = 0
    for name in sys.argv[1:] or PROGRAMS:
        program = importlib.import_module(f"tests.benchmarks.bench_{name}")
        try:
            for row in program.rows():
                print(row, flush=True)
                missed += not row.met
        except (Exception, OutcomeException) as error:
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            missed += 1
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
