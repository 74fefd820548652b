"""What the import contracts in pyproject.toml cannot say: no circle of files anywhere, and no contract with exceptions."""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]


def imports() -> dict[str, set[str]]:
    """Which modules each module imports, type-checking imports included."""
    graph = grimp.build_graph("gearpool", exclude_type_checking_imports=False, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The modules that can be reached from themselves, found by taking away what imports nothing that is left."""
    left = {module: set(imported) for module, imported in graph.items()}
    while done := {module for module, imported in left.items() if not imported}:
        left = {module: imported - done for module, imported in left.items() if module not in done}
    return [[module, *sorted(imported)] for module, imported in sorted(left.items())]


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(imports()) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["a", "b"], ["b", "c"], ["c", "b"]]


def test_every_package_with_more_than_four_files_has_a_contract_for_its_layers_without_exceptions() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert linter["exclude_type_checking_imports"] is False
    assert not [contract["name"] for contract in linter["contracts"] if "ignore_imports" in contract]
    contained = {
        name
        for contract in linter["contracts"]
        if contract["type"] == "layers"
        for name in contract.get("containers", [])
    }
    packages = {
        ".".join(folder.relative_to(ROOT).parts)
        for folder in (ROOT / "gearpool").rglob("*")
        if folder.is_dir() and len([file for file in folder.glob("*.py") if file.name != "__init__.py"]) > 4
    }
    assert packages <= contained
