"""``make bench``: run every benchmark and print its rows. ``python -m tests.benchmarks echo sleeps`` runs some.

Ratios within one run are what counts: these programs share one core and one machine, whose speed drifts.
"""

from __future__ import annotations

import importlib
import sys

from _pytest.outcomes import OutcomeException

PROGRAMS = [
    "echo", "sleeps", "fairness", "footprint", "embedded", "bystander", "client", "asyncio", "scrape", "steering",
    "dashboard",
]  # fmt: skip


def main() -> int:
    """Run them; 1 if a program could not be run, which keeps none of the others, or with ``--strict`` if a goal is missed.

    A missed goal is a figure to work on, and a busy machine misses some: it is counted in the last line.
    """
    words = sys.argv[1:]
    names = [word for word in words if word != "--strict"] or PROGRAMS
    met = missed = failed = 0
    for name in names:
        program = importlib.import_module(f"tests.benchmarks.bench_{name}")
        try:
            for row in program.rows():
                print(row, flush=True)
                met += row.met
                missed += not row.met
        except (Exception, OutcomeException) as error:
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            failed += 1
    print(f"goals met: {met}, missed: {missed}; programs that could not be run: {failed}")
    return int(failed > 0 or (missed > 0 and "--strict" in words))


if __name__ == "__main__":
    sys.exit(main())
