"""Whether the tests run enough lines: ``python -m tests.architecture.coverage_floor``, after a run under coverage.

The floor is 95 % of all lines, and 85 % of each module's. What has been measured in each process is combined first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOTAL = 95.0
MODULE = 85.0


def measured() -> dict[str, Any]:
    """The report of coverage, as its ``json`` command writes it."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "--quiet"], cwd=ROOT, check=False, stderr=subprocess.DEVNULL)
    done = subprocess.run(
        [*coverage, "json", "--quiet", "-o", "-"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def problems(report: dict[str, Any]) -> list[str]:
    """What is below the floor, worst first, with the lines that no test runs."""
    total = report["totals"]["percent_covered"]
    found = [] if total >= TOTAL else [f"all modules together: {total:.1f} %, wanted {TOTAL:g} %"]
    files = sorted(report["files"].items(), key=lambda item: item[1]["summary"]["percent_covered"])
    for name, file in files:
        share = file["summary"]["percent_covered"]
        if share < MODULE:
            lines = ", ".join(map(str, file["missing_lines"]))
            found.append(f"{name}: {share:.1f} %, wanted {MODULE:g} %; never run: {lines}")
    return found


def main() -> int:
    """Print what is below the floor; the exit code."""
    report = measured()
    found = problems(report)
    print(f"{report['totals']['percent_covered']:.1f} % of the lines are run by the tests")
    for problem in found:
        print(problem)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
