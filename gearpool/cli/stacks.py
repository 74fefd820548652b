"""`gearpool stacks`: what every greenlet of every worker is doing. Floor 5."""

from __future__ import annotations

import argparse
from typing import Any

from gearpool.cli import control
from gearpool.cli.tables import counted, shown

HELP = "Print the stack of every greenlet with its job; of a blocked worker that of its threads."
EXAMPLES = """\
examples:
  gearpool stacks
  gearpool stacks -c workers.yaml | less
"""

configure = control.configure


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    return control.show(arguments, control.ask(arguments, "stacks"), as_text)


def as_text(answers: Any) -> str:
    """One section a worker."""
    return "\n\n".join(_section(answer) for answer in answers)


def _section(answer: Any) -> str:
    head = f"== worker {answer['worker']}"
    if "error" in answer:
        job = " ".join(shown(str(answer[name])) for name in ("function", "handle") if name in answer)
        return "\n".join(part for part in (f"{head}: {answer['error']} {job}".rstrip(), answer.get("stacks")) if part)
    jobs = [f"-- {shown(job['function'])} {shown(job['handle'])}\n{job['stack'].rstrip()}" for job in answer["result"]]
    return "\n".join([f"{head}: {counted(len(jobs), 'job')}", *jobs])
