"""The checker: reads the configuration, imports every handler as a worker would, and says what it found. Floor 4.

Started by exec as ``python -m gearpool.children.checker --file FILE``; prints one JSON object, ``{"settings": …,
"warnings": […]}`` or ``{"problems": […]}``, and exits with 0 or 78. Handlers that print while they are imported print to
stderr: the answer has its own descriptor.

Law: a process of its own, so that neither YAML nor handlers ever come near the supervisor, and a reload imports new code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gearpool.config import Item, Loaded, Place, Problem

_BLOCKING = {
    "psycopg2": "call psycogreen.gevent.patch_psycopg(), or use psycopg 3 or pg8000",
    "MySQLdb": "use PyMySQL",
    "cx_Oracle": "use oracledb in its thin mode",
    "pymssql": "use pytds",
    "pyodbc": "run it in gevent's thread pool",
    "grpc": "call grpc.experimental.gevent.init_gevent()",
    "zmq": "use zmq.green",
    "pycurl": "use geventhttpclient or requests",
}
"""Modules that wait in C where gevent does not see it, and what to do instead."""

_PACKAGES = frozenset({"site-packages", "dist-packages"})

OK = 0
CONFIGURATION = 78


def main(argv: list[str] | None = None) -> int:
    """Check; returns the exit code."""
    parser = argparse.ArgumentParser(description="gearpool's configuration checker; started by the supervisor")
    parser.add_argument("-c", "--file", action="append", required=True)
    for option in ("--processes", "--concurrency", "--servers", "--log-level"):
        parser.add_argument(option)
    parser.add_argument("--details", action="store_true", help="problems and warnings as objects, and origins")
    arguments = parser.parse_args(argv)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)
    with answer:
        found, code = _check(arguments)
        json.dump(found, answer)
        answer.write("\n")
    return code


def _check(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from gearpool.config import ConfigurationProblems, Overrides, base_of, in_order, load
    from gearpool.settings import to_json

    overrides = Overrides(arguments.processes, arguments.concurrency, arguments.servers, arguments.log_level)
    form = _as_object if arguments.details else str
    problems: list[Problem] = []
    loaded: Loaded | None = None
    try:
        loaded = load(arguments.file, overrides, os.environ)
        item = loaded.item
    except ConfigurationProblems as error:
        problems += error.found
        if error.item is None:
            return {"problems": [form(problem) for problem in problems]}, CONFIGURATION
        item = error.item
    # Handlers are looked for even when the file has other problems: all at once, or it takes a night.
    problems += _import(item, base_of(arguments.file[0]))
    if problems or loaded is None:
        return {"problems": [form(problem) for problem in in_order(problems)]}, CONFIGURATION
    found: dict[str, Any] = {
        "settings": to_json(loaded.settings),
        "warnings": [form(problem) for problem in loaded.warnings],
        "code": _digest(),
    }
    if arguments.details:
        from gearpool.config.showing import show

        found["shown"] = show(loaded)
        found["blocking"] = {name: instead for name, instead in _BLOCKING.items() if name in sys.modules}
    return found, OK


def _as_object(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "path": problem.path,
        "message": problem.message,
    }


def _import(item: Item, base: Path) -> list[Problem]:
    """Import every handler and exception class that is named; what does not work is returned."""
    patch = _entry(item, "monkey_patch")
    if patch is None or patch.text != "false":
        from gevent import monkey

        monkey.patch_all()
    from gearpool import handlers
    from gearpool.config import Problem
    from gearpool.errors import ConfigurationError

    folders = _entry(item, "import_path")
    names = ["."] if folders is None else [each.text for each in folders.items] or [folders.text]
    for folder in reversed(names):
        sys.path.insert(0, str(base / folder))
    problems: list[Problem] = []

    def attempt(find: Any, name: str, place: Place, path: str) -> None:
        try:
            find(name)
        except ConfigurationError as error:
            problems.append(Problem(place, path, str(error)))

    def attempt_classes(section: Item | None, path: str) -> None:
        on_error = _entry(section, "on_error") if section is not None else None
        for name, (place, _) in (on_error.entries if on_error is not None else {}).items():
            if "." in name or ":" in name:
                attempt(handlers.exception_class, name, place, f"{path}.on_error.{name}")

    attempt_classes(_entry(item, "defaults"), "defaults")
    functions = _entry(item, "functions")
    for name, (_, function) in (functions.entries if functions is not None else {}).items():
        handler = function if function.tag == "str" else _entry(function, "handler")
        if handler is not None and handler.tag == "str" and handler.text:
            attempt(handlers.load, handler.text, handler.place, f"functions.{name}.handler")
        attempt_classes(function, f"functions.{name}")
    return problems


def _entry(item: Item, name: str) -> Item | None:
    entry = item.entries.get(name)
    return None if entry is None else entry[1]


def _digest() -> str:
    """Changes whenever the source of a module outside the installed packages does."""
    # The folders themselves, not the prefix: /usr would take in /usr/src/app, where images keep the application.
    installed = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))
    sources = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        path = vars(module).get("__file__")  # getattr would wake lazy modules, and some of these raise
        if not isinstance(path, str) or path.startswith(installed) or _PACKAGES.intersection(Path(path).parts):
            continue
        try:
            sources.update(f"{name}\0".encode())
            sources.update(Path(path).read_bytes())
        except OSError:
            continue
    return sources.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
