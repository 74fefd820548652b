"""Modules that light commands and the supervisor must not load, checked in a new interpreter."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import gearpool.client
import gearpool.errors
import gearpool.supervisor
from tests.processes import unmeasured


def loaded(program: str) -> set[str]:
    """The top-level modules in a fresh interpreter after ``program``."""
    code = f"import sys\n{program}\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured(), capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


SUPERVISOR = [f"gearpool.supervisor.{module.name}" for module in pkgutil.iter_modules(gearpool.supervisor.__path__)]


def test_no_module_of_the_supervisor_loads_gevent_or_yaml() -> None:
    assert not loaded(f"import {', '.join(SUPERVISOR)}") & {"gevent", "greenlet", "yaml", "rich"}


def test_import_gearpool_loads_nothing_else() -> None:
    assert not loaded("import gearpool") & {"gevent", "greenlet", "yaml", "rich"}


def test_the_clients_load_no_module_that_a_web_application_does_not_need() -> None:
    heavy = {"gevent", "greenlet", "yaml", "rich", "falcon", "prometheus_client"}
    assert not loaded("from gearpool import AsyncClient") & heavy
    assert not loaded("from gearpool import Client") & {*heavy, "asyncio"}


def test_every_public_name_can_be_imported() -> None:
    for name in gearpool.__all__:
        assert getattr(gearpool, name) is not None
    assert set(gearpool.__all__) <= set(dir(gearpool))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        gearpool.nothing_of_the_kind  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded_on_demand() -> None:
    tree = ast.parse(Path(gearpool.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == gearpool._HOMES


def test_every_error_and_everything_of_the_client_is_importable_from_the_package() -> None:
    raised = [kind.__name__ for kind in vars(gearpool.errors).values() if isinstance(kind, type)]
    raised = [name for name in raised if issubclass(getattr(gearpool.errors, name, int), BaseException)]
    assert {*raised, *gearpool.client.__all__} - {"Admin"} <= set(gearpool.__all__)


@pytest.mark.parametrize("words", [["--version"], ["ping", "--help"], ["status", "--help"], ["schema", "--help"]])
def test_light_commands_load_neither_gevent_nor_rich_nor_yaml(words: list[str]) -> None:
    program = f"from gearpool.cli.main import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
    assert not loaded(program) & {"gevent", "greenlet", "yaml", "rich"}
