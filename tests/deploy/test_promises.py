"""The table of promises in deploy/README: every test that it names exists and can fail."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = {"2", "5", "6", "7"}


def rows() -> list[tuple[str, str, list[str]]]:
    """Return part, promise and tests of each row."""
    text = (ROOT / "deploy" / "README.md").read_text()
    section = text.partition("## What is promised, and how it is tested")[2].partition("\n## ")[0]
    found = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if len(cells) == 3 and cells[0] in PARTS:
            found.append((cells[0], cells[1], re.findall(r"`([^`]*)`", cells[2])))
    return found


@cache
def functions_of(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the test functions of a file by name, including those in classes."""
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def can_fail(test: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a test is run and has a body: no unconditional skip, and more than a docstring."""
    marks = " ".join(ast.unparse(each) for each in test.decorator_list)
    body = [each for each in test.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    return bool(body) and not isinstance(body[0], ast.Pass) and "mark.skip(" not in marks and "mark.xfail" not in marks


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_part_has_at_least_four_promises(part: str) -> None:
    assert sum(each == part for each, *_ in rows()) >= 4


def test_every_row_of_the_table_is_parsed() -> None:
    text = (ROOT / "deploy" / "README.md").read_text().partition("## What is promised, and how it is tested")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    assert len(rows()) == len(lines) - 2


def test_no_promise_is_listed_twice() -> None:
    promises = [promise for _, promise, _ in rows()]
    assert len(promises) == len(set(promises))


@pytest.mark.parametrize(("promise", "tests"), [(promise, tests) for _, promise, tests in rows()])
def test_every_named_test_exists_and_can_fail(promise: str, tests: list[str]) -> None:
    assert tests, f"nothing attacks: {promise}"
    for name in tests:
        path, _, function = name.partition("::")
        assert (ROOT / "tests" / path).is_file(), name
        assert function in functions_of(path), name
        assert can_fail(functions_of(path)[function]), name
