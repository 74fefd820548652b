"""The checker as the supervisor and `gearpool check` run it: a process of its own, whose last line is its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import environment

HEAD = "servers: s:1\ndefaults: {timeout: 9s}\n"


class Site:
    """A folder with a configuration and handlers, and the checker on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stderr = ""
        self.code = 0

    def write(self, **files: str) -> None:
        """Modules by name."""
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(text)

    def lines(self, config: str, *options: str, cwd: Path | None = None, file: str = "workers.yaml") -> list[Any]:
        """All that the checker says."""
        if config:
            (self.folder / "workers.yaml").write_text(config)
        done = subprocess.run(
            [sys.executable, "-m", "gearpool.children.checker", "--file", file, *options],
            cwd=cwd or self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
            env=environment(PYTHONDONTWRITEBYTECODE="1"),
        )  # fmt: skip
        self.stderr, self.code = done.stderr.decode(), done.returncode
        return [json.loads(line) for line in done.stdout.splitlines()]

    def answer(self, config: str, *options: str, cwd: Path | None = None, file: str = "workers.yaml") -> dict[str, Any]:
        """The last line, which is the answer."""
        return dict(self.lines(config, *options, cwd=cwd, file=file)[-1])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_output_of_a_module_does_not_corrupt_the_answer(site: Site) -> None:
    site.write(
        loud="import os, subprocess\nprint('hello')\nos.write(1, b'raw\\n')\n"
        "subprocess.run(['echo', 'from a child'], check=True)\ndef f(arg): return arg\n"
    )
    answer = site.answer(HEAD + "functions: {f: loud.f}\n")
    assert answer["settings"]["functions"][0]["handler"] == "loud.f"
    assert (answer["warnings"], site.code) == ([], 0)
    for said in ("hello", "raw", "from a child"):
        assert said in site.stderr


def test_handlers_are_found_next_to_the_file_not_in_the_working_directory(site: Site) -> None:
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "shop.py").write_text("raise RuntimeError('the wrong one')\n")
    (site.folder / "lib").mkdir()
    (site.folder / "lib" / "tools.py").write_text("def g(arg): return arg\n")
    site.write(shop="def f(arg): return arg\n")
    answer = site.answer(
        HEAD + "import_path: [., lib]\nfunctions: {f: shop.f, g: tools.g}\n", cwd=elsewhere, file="../workers.yaml"
    )
    assert (answer.get("problems"), site.code) == (None, 0)


@pytest.mark.parametrize("kind", ["module", "package", "namespace package"])
def test_a_handler_found_only_in_the_working_directory_is_a_warning(site: Site, kind: str) -> None:
    if kind == "module":
        site.write(shop="def f(arg): return arg\n")
    else:
        (site.folder / "shop").mkdir()
        (site.folder / "shop" / "images.py").write_text("def f(arg): return arg\n")
        if kind == "package":
            (site.folder / "shop" / "__init__.py").touch()
    (site.folder / "etc").mkdir()
    handler = "shop.f" if kind == "module" else "shop.images.f"
    (site.folder / "etc" / "workers.yaml").write_text(HEAD + f"functions: {{f: {handler}}}\n")
    answer = site.answer("", file="etc/workers.yaml")
    assert answer["warnings"] == [
        (
            "etc/workers.yaml:3:16: functions.f.handler: was found only because the command runs in its folder; "
            "add that folder to import_path"
        )
    ]


ASSERTS = """
import socket, time
from gevent import monkey
assert {expected} monkey.is_module_patched("socket")
assert {expected} (time.sleep.__module__ == "gevent.hub")
def f(arg): return arg
"""


@pytest.mark.parametrize(
    ("key", "expected"), [("", ""), ("monkey_patch: true\n", ""), ("monkey_patch: false\n", "not")]
)
def test_handlers_are_imported_patched_unless_the_file_says_otherwise(site: Site, key: str, expected: str) -> None:
    site.write(shop=ASSERTS.format(expected=expected))
    assert "settings" in site.answer(HEAD + key + "functions: {f: shop.f}\n")


def test_the_digest_changes_only_with_the_source_of_a_handler(site: Site) -> None:
    config = HEAD + "functions: {f: shop.f}\n"
    site.write(shop="import prices\ndef f(arg): return arg\n", prices="VAT = 19\n", unused="X = 1\n")
    first = site.answer(config)["code"]
    site.write(unused="X = 2\n")
    (site.folder / "shop.py").touch()
    assert site.answer(config + "concurrency: 7\n")["code"] == first
    site.write(prices="VAT = 20\n")
    second = site.answer(config)["code"]
    assert second != first
    site.write(shop="import prices\ndef f(arg): return arg + arg\n")
    assert site.answer(config)["code"] not in (first, second)


def test_strange_things_among_the_modules_do_not_stop_the_digest(site: Site) -> None:
    site.write(
        shop="import sys, types\n"
        "sys.modules['forbidden'] = None\n"
        "sys.modules['thing'] = object()\n"
        "class Lazy(types.ModuleType):\n"
        "    def __getattribute__(self, name):\n"
        "        if name in ('__file__', '__path__'): raise RuntimeError('woken')\n"
        "        return super().__getattribute__(name)\n"
        "sys.modules['lazy'] = Lazy('lazy')\n"
        "def f(arg): return arg\n"
    )
    assert len(site.answer(HEAD + "functions: {f: shop.f}\n")["code"]) == 64


def test_problems_of_the_file_and_of_imports_are_sorted_by_position(site: Site) -> None:
    site.write(shop="def f(arg): return arg\n")
    answer = site.answer(
        "servers: s:1\nconcurrency: none\nfunctions:\n  f: {handler: shop.g, timeout: 30}\n  g: nowhere.f\n"
        "  h: {handler: shop.f, on_error: {shop.Lost: retry}}\nproceses: 2\n"
    )
    assert {"problems": [problem.partition("\n    searched: ")[0] for problem in answer["problems"]]} == {
        "problems": [
            "workers.yaml:2:14: concurrency: expected a whole number from 1 to 1000000, got none",
            "workers.yaml:4:16: functions.f.handler: shop has no 'g'",
            'workers.yaml:4:33: functions.f.timeout: expected a duration such as "30s", got 30',
            (
                "workers.yaml:5:6: functions.g.handler: there is no module 'nowhere' on import_path or among the "
                "installed packages"
            ),
            "workers.yaml:6:35: functions.h.on_error.shop.Lost: shop has no 'Lost'",
            "workers.yaml:7:1: proceses: unknown key; did you mean processes?",
        ]
    }
    assert site.code == 78


def test_a_missing_import_path_folder_is_listed_with_the_import_errors_it_may_cause(site: Site) -> None:
    folder, handler = site.answer(HEAD + "import_path: [., lib]\nfunctions: {f: shop.f}\n")["problems"]
    assert folder == f"workers.yaml:3:18: import_path: there is no folder {site.folder}/lib"
    message, _, searched = handler.partition("\n    searched: ")
    expected = "there is no module 'shop' on import_path or among the installed packages"
    assert message == f"workers.yaml:4:16: functions.f.handler: {expected}"
    assert searched.startswith(f"{site.folder}, {site.folder}/lib, ")
    site.write(shop="def f(arg): return arg\n")
    assert site.answer("", file="workers.yaml")["warnings"] == [
        f"workers.yaml:3:18: import_path: there is no folder {site.folder}/lib"
    ]


def test_a_misspelt_function_comes_with_a_suggestion(site: Site) -> None:
    site.write(shop="class Cart:\n    def sell(self, arg): return arg\ncart = Cart()\ndef thumbnail(arg): return arg\n")
    assert site.answer(HEAD + "functions: {f: shop.thumbnial, g: 'shop:cart.sel', h: shop.nothing}\n")["problems"] == [
        "workers.yaml:3:16: functions.f.handler: shop has no 'thumbnial'; did you mean 'thumbnail'?",
        "workers.yaml:3:35: functions.g.handler: shop.cart has no 'sel'; did you mean 'sell'?",
        "workers.yaml:3:55: functions.h.handler: shop has no 'nothing'",
    ]


def test_an_import_error_shows_only_lines_of_user_code(site: Site) -> None:
    site.write(
        shop="import prices\ndef f(arg): return arg\n",
        prices="def vat():\n    return TABLE['de']\n\nTABLE = {}\nVAT = vat()\n",
    )
    (problem,) = site.answer(HEAD + "functions: {f: shop.f}\n")["problems"]
    assert problem.splitlines() == [
        "workers.yaml:3:16: functions.f.handler: importing shop failed: KeyError: 'de'",
        f"    {site.folder}/shop.py:1: import prices",
        f"    {site.folder}/prices.py:5: VAT = vat()",
        f"    {site.folder}/prices.py:2: return TABLE['de']",
    ]
    assert "Traceback" not in site.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys\nsys.exit()\n", "SystemExit\n    {file}:2: sys.exit()"),
        ("import sys\nsys.exit('no licence')\n", "SystemExit: no licence\n    {file}:2: sys.exit('no licence')"),
        ("raise BaseException('lost')\n", "BaseException: lost\n    {file}:1: raise BaseException('lost')"),
        ("import gevent\nraise gevent.GreenletExit\n", "GreenletExit\n    {file}:2: raise gevent.GreenletExit"),
        ("import gevent\nraise gevent.Timeout(5)\n", "Timeout: 5 seconds\n    {file}:2: raise gevent.Timeout(5)"),
        ("def f(arg)\n    return arg\n", "SyntaxError: expected ':' (shop.py, line 1)\n    {file}:1: def f(arg)"),
        ("import nowhere.at_all\n", "ModuleNotFoundError: No module named 'nowhere'\n    {file}:1: import nowhere.at_all"),
    ],
)  # fmt: skip
def test_any_exception_on_import_is_a_problem_with_its_line(site: Site, source: str, message: str) -> None:
    site.write(shop=source)
    (problem,) = site.answer(HEAD + "functions: {f: shop.f}\n")["problems"]
    told = message.format(file=site.folder / "shop.py")
    assert problem == f"workers.yaml:3:16: functions.f.handler: importing shop failed: {told}"
    assert "Traceback" not in site.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def __getattr__(name):\n    raise RuntimeError('lazy and broken')\n",
            (
                "looking up 'f' in shop failed: RuntimeError: lazy and broken\n"
                "    {file}:2: raise RuntimeError('lazy and broken')"
            ),
        ),
        (
            (
                "class Proxy:\n    @property\n    def __class__(self):\n        raise RuntimeError('no request')\n"
                "    def __call__(self, arg): return arg\nf = Proxy()\n"
            ),
            "shop.f cannot be inspected: RuntimeError: no request",
        ),
    ],
)
def test_a_handler_that_cannot_be_inspected_is_a_problem(site: Site, source: str, message: str) -> None:
    site.write(shop=source)
    (problem,) = site.answer(HEAD + "functions: {f: shop.f}\n")["problems"]
    assert problem == f"workers.yaml:3:16: functions.f.handler: {message.format(file=site.folder / 'shop.py')}"


@pytest.mark.parametrize("fatal", ["import os; os._exit(3)", "import ctypes; ctypes.string_at(0)"])
def test_the_last_line_names_the_handler_that_ended_the_process(site: Site, fatal: str) -> None:
    site.write(fine="def f(arg): return arg\n", fatal=fatal)
    answer = site.answer(HEAD + "functions:\n  f: fine.f\n  g: fine.nope\n  h: fatal.f\n  i: fine.f\n")
    assert answer == {
        "problems": [
            "workers.yaml:5:6: functions.g.handler: fine has no 'nope'",
            "workers.yaml:6:6: functions.h.handler: loading fatal.f ended the process",
        ],
        "loading": 1,
    }


def test_a_thread_started_by_a_module_does_not_delay_the_exit(site: Site) -> None:
    site.write(
        shop="import threading, time\nthreading.Thread(target=time.sleep, args=[600]).start()\ndef f(arg): return arg\n"
    )
    assert "settings" in site.answer(HEAD + "monkey_patch: false\nfunctions: {f: shop.f}\n")


@pytest.mark.parametrize("key", ["", "monkey_patch: false\n"], ids=["patched", "unpatched"])
def test_slow_exit_handlers_of_a_module_do_not_delay_the_exit(site: Site, key: str) -> None:
    site.write(shop="import atexit, time\natexit.register(time.sleep, 600)\ndef f(arg): return arg\n")
    assert "settings" in site.answer(f"{HEAD}{key}functions: {{f: shop.f}}\n")
    assert site.code == 0


def test_a_directory_is_one_configuration_and_contains_its_handlers(site: Site) -> None:
    folder = site.folder / "conf.d"
    folder.mkdir()
    (folder / "shop.py").write_text("def f(arg): return arg\n")
    (folder / "10.yaml").write_text(HEAD)
    (folder / "20.yaml").write_text("functions: {f: shop.f}\n")
    answer = site.answer("", file="conf.d")
    assert answer["settings"]["base"] == str(folder)
    (folder / "30.yaml").write_text("functions: {g: shop.g}\n")
    assert site.answer("", file="conf.d") == {"problems": ["conf.d/30.yaml:1:16: functions.g.handler: shop has no 'g'"]}


def test_command_line_overrides_are_in_the_settings(site: Site) -> None:
    site.write(shop="def f(arg): return arg\n")
    config = HEAD + "functions: {f: shop.f}\n"
    settings = site.answer(config, "--processes=3", "--concurrency=5", "--servers=t:2,u:3")["settings"]
    assert (settings["processes"], settings["concurrency"]) == (3, 5)
    assert [server["host"] for server in settings["servers"]] == ["t", "u"]


def test_no_handler_is_loaded_for_a_file_that_is_not_yaml(site: Site) -> None:
    lines = site.lines("servers: [\n")
    assert not any("loading" in line for line in lines)
    assert list(lines[-1]) == ["problems"]
    assert site.code == 78
