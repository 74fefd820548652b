"""`gearpool jobs`: the jobs that run in the daemon now. Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control
from gearpool.cli.tables import duration, table

HELP = "List the jobs that the running daemon works on. A blocked worker shows the job that blocks it."
EXAMPLES = """\
examples:
  gearpool jobs
  gearpool jobs --json | jq '.[].result[] | select(.age_s > 60)'
"""

configure = control.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask and list."""
    return control.show(arguments, control.ask(arguments, "jobs"), as_text)


def as_text(answers: Any) -> str:
    """One line a job."""
    rows = []
    for answer in answers:
        worker = answer["worker"]
        if "error" in answer:
            note = answer["error"]
            if "blocked_s" in answer:
                note += f" for {duration(answer['blocked_s'])}"
            rows.append((worker, answer.get("function", ""), answer.get("handle", ""), "", note))
            continue
        for job in answer["result"]:
            age = duration(job["age_s"]) if "age_s" in job else ""
            rows.append((worker, job.get("function", ""), job.get("handle", ""), age, job.get("state", "")))
    return table(("WORKER", "FUNCTION", "HANDLE", "AGE", "STATE"), rows) if rows else "no jobs"
