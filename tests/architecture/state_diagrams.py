"""Draws the state tables of the project into CONTRIBUTING.md: ``python -m tests.architecture.state_diagrams [--check]``.

A state a block, its transitions below it with what leads to them. ``--check`` compares and exits with 1 if they differ.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gearpool.client.states import CALL
from gearpool.supervisor.states import CHILD, DAEMON
from gearpool.worker.states import RUN, SESSION

DOCUMENT = Path(__file__).parents[2] / "CONTRIBUTING.md"
BEGIN = "<!-- state tables: written by `python -m tests.architecture.state_diagrams` -->"
END = "<!-- end of the state tables -->"

TABLES: dict[str, Mapping[tuple[Any, Any], Any]] = {
    "The daemon (`supervisor/states.py`)": DAEMON,
    "A child process (`supervisor/states.py`)": CHILD,
    "A worker's session (`worker/states.py`)": SESSION,
    "A run of a handler (`worker/states.py`)": RUN,
    "A submission of the client (`client/states.py`)": CALL,
}


def draw(table: Mapping[tuple[enum.Enum, enum.Enum], enum.Enum]) -> str:
    """One table as text."""
    states = list(type(next(iter(table.values()))))
    wide = max(len(str(state.value)) for state in states)
    lines = []
    for state in states:
        rows = [(after, event) for (before, event), after in table.items() if before is state]
        if not rows:
            lines.append(f"{state.value:<{wide}}    (the end)")
        for index, (after, event) in enumerate(rows):
            name = state.value if index == 0 else ""
            lines.append(f"{name:<{wide}} ── {event.value} ──▶ {after.value}")
    return "\n".join(lines)


def document() -> str:
    """All tables as Markdown, with the markers."""
    parts = [f"**{title}**\n\n```\n{draw(table)}\n```" for title, table in TABLES.items()]
    return "\n\n".join([BEGIN, *parts, END])


def updated(text: str) -> str:
    """``text`` of CONTRIBUTING.md with the tables of now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + document() + after


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` compare."""
    text = DOCUMENT.read_text()
    if BEGIN not in text or END not in text:
        print(f"{DOCUMENT.name} has no place for the state tables", file=sys.stderr)
        return 1
    if arguments == ["--check"]:
        if updated(text) != text:
            print(f"{DOCUMENT.name}: the state tables are out of date; run this without --check", file=sys.stderr)
            return 1
        return 0
    DOCUMENT.write_text(updated(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
