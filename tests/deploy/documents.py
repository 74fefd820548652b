"""The commands and programs of documents, taken as they stand.

In a program, what follows a line's expression as a comment, if it is a Python literal, is what the expression must give.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"


def commands(heading: str) -> list[str]:
    """The ``sh`` blocks below a heading of deploy/README.md, in their order."""
    text = (DEPLOY / "README.md").read_text()
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"deploy/README.md has no heading {heading}"
    return re.findall(r"^```sh\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)


def checking(program: str) -> str:
    """The program with an assertion for each line whose value it tells; it prints how many there were."""
    lines = []
    for line in program.splitlines():
        found = re.fullmatch(r"(\s*)(\S.*?)\s+# (.+)", line)
        if found and is_expression(found[2]) and is_literal(found[3]):
            lines.append(f"{found[1]}got = {found[2]}; checked += 1; assert got == {found[3]}, got")
        else:
            lines.append(line)
    return "\n".join(["checked = 0", *lines, "print(checked)", ""])


def count_of_values(program: str) -> int:
    """How many lines of the program tell a value."""
    return sum(is_literal(told) for told in re.findall(r"# (.+)", program))


def is_expression(code: str) -> bool:
    """Whether it is one Python expression."""
    try:
        ast.parse(code, mode="eval")
    except SyntaxError:
        return False
    return True


def is_literal(code: str) -> bool:
    """Whether it is a Python literal."""
    try:
        ast.literal_eval(code)
    except (SyntaxError, ValueError):
        return False
    return True
