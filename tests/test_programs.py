"""Programs that no test runs (benchmarks, stress, chaos) can be imported; declared dependencies are those in use."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import tests.benchmarks
import tests.chaos
import tests.stress
from tests.benchmarks.__main__ import PROGRAMS
from tests.benchmarks.machine import Row

ROOT = Path(__file__).parent.parent
MODULES = [
    module.name
    for package in (tests.benchmarks, tests.stress, tests.chaos)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_every_program_that_no_test_runs_can_be_imported(name: str) -> None:
    importlib.import_module(name)


def test_make_bench_runs_every_benchmark() -> None:
    assert sorted(f"tests.benchmarks.bench_{name}" for name in PROGRAMS) == [
        name for name in MODULES if ".bench_" in name
    ]
    for name in PROGRAMS:
        assert callable(importlib.import_module(f"tests.benchmarks.bench_{name}").rows)


def test_a_benchmark_goal_is_met_or_missed() -> None:
    assert Row("a", 1.0, ">= 1", "").met
    assert not Row("a", 0.99, ">= 1", "").met
    assert Row("a", 1.0, "<= 1", "").met
    assert not Row("a", 1.01, "<= 1", "").met


def test_everything_that_make_runs_exists() -> None:
    """Every ``-m MODULE`` and file that the Makefile names; `make -n` also finds a target that cannot be built."""
    text = (ROOT / "Makefile").read_text()
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module) is not None, module
    targets = re.search(r"(?m)^\.PHONY: (.*)$", text)
    assert targets is not None
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for target in targets[1].split():
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (target, done.stderr)


class _Imports(ast.NodeVisitor):
    """The top-level packages that a module names in imports which happen when it runs."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name.partition(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self.found.add(node.module.partition(".")[0])

    def visit_If(self, node: ast.If) -> None:
        type_checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in node.orelse if type_checking else [*node.body, *node.orelse]:
            self.visit(inner)


def _imported() -> set[str]:
    """Return the top-level packages that gearpool imports, without the standard library and gearpool."""
    imports = _Imports()
    for path in (ROOT / "gearpool").rglob("*.py"):
        imports.visit(ast.parse(path.read_text(), str(path)))
    return imports.found - set(sys.stdlib_module_names) - {"gearpool"}


def _normalized(distribution: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_declared_dependencies_and_imports_match() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {_normalized(re.split(r"[\s<>=!~;\[]", line)[0]) for line in project["dependencies"]}
    optional = {
        _normalized(re.split(r"[\s<>=!~;\[]", line)[0])
        for lines in project.get("optional-dependencies", {}).values()
        for line in lines
    }
    packages = metadata.packages_distributions()
    imported = {_normalized(name) for module in _imported() for name in packages.get(module, [module])}
    implied = {"greenlet"}  # gevent's own, and part of its interface
    assert declared <= imported, f"never imported: {declared - imported}"
    assert imported - declared - implied <= optional, f"not declared: {imported - declared - implied - optional}"
