"""The commands and programs of the documents, exactly as written.

If a line of a program is an expression followed by a comment that is a Python literal, its value must equal that literal.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"


def commands(heading: str, document: Path = DEPLOY / "README.md") -> list[str]:
    """Return the ``sh`` blocks below a heading of the document, in order."""
    text = document.read_text()
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{document} has no heading {heading}"
    return re.findall(r"^```sh\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)


def checking(program: str) -> str:
    """Return the program with an assertion for each line that states its value; it prints the number of assertions."""
    lines = []
    for line in program.splitlines():
        found = re.fullmatch(r"(\s*)(\S.*?)\s+# (.+)", line)
        if found and is_expression(found[2]) and is_literal(found[3]):
            lines.append(f"{found[1]}got = {found[2]}; checked += 1; assert got == {found[3]}, got")
        else:
            lines.append(line)
    return "\n".join(["checked = 0", *lines, "print(checked)", ""])


def count_of_values(program: str) -> int:
    """Return how many lines of the program state a value."""
    return sum(is_literal(told) for told in re.findall(r"# (.+)", program))


def is_expression(code: str) -> bool:
    """Return whether the code is one Python expression."""
    try:
        ast.parse(code, mode="eval")
    except SyntaxError:
        return False
    return True


def is_literal(code: str) -> bool:
    """Return whether the code is a Python literal."""
    try:
        ast.literal_eval(code)
    except (SyntaxError, ValueError):
        return False
    return True
