"""The checker: reads the configuration, imports every handler as a worker would, and prints the result. Floor 4.

Started as ``python -m gearpool.children.checker --file FILE``. The last line it prints is its answer, a JSON object:
``{"settings": …, "warnings": […]}`` or ``{"problems": […]}``; the exit code is 0 or 78. Before it loads a handler it
prints the answer that applies if that ends the process: ``{"problems": […], "loading": NUMBER}``, where NUMBER is the
index of that problem. After the last handler it prints ``{}``. What handlers print on import goes to stderr.

Invariant: it is a process of its own, so the supervisor never loads YAML or handlers, and a reload imports new code.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from gearpool import exit_codes
from gearpool.children.stacks import show_stacks
from gearpool.process_exit import leave

if TYPE_CHECKING:
    from gearpool.config import Item, Loaded, Place, Problem

_AT_START = frozenset(sys.modules)
"""Modules imported by sitecustomize and .pth files; a worker has them, too, before it patches."""

_PACKAGES = frozenset({"site-packages", "dist-packages"})

EXIT_S = 3
"""Time limit for the exit handlers of the user's modules."""

Send = Callable[[dict[str, Any]], None]


def main(argv: list[str] | None = None) -> int:
    """Check the configuration; returns the exit code."""
    parser = argparse.ArgumentParser(description="gearpool's configuration checker; started by the supervisor")
    parser.add_argument("-c", "--file", action="append", required=True)
    for option in ("--processes", "--concurrency", "--servers", "--log-level"):
        parser.add_argument(option)
    parser.add_argument("--details", action="store_true", help="problems and warnings as objects, and origins")
    arguments = parser.parse_args(argv)
    if "GEARPOOL_STACKS_FD" in os.environ:
        show_stacks()  # only the supervisor asks for them
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)

    def send(found: dict[str, Any]) -> None:
        answer.write(f"{json.dumps(found)}\n")
        answer.flush()

    with answer:
        found, code = _check(arguments, send)
        send(found)
    return code


def _check(arguments: argparse.Namespace, send: Send) -> tuple[dict[str, Any], int]:
    from gearpool.config import ConfigurationProblems, Overrides, Place, Problem, base_of, in_order, load
    from gearpool.config.hazards import hazards
    from gearpool.config.patching import blocking, patch
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
            return {"problems": [form(problem) for problem in problems]}, exit_codes.CONFIGURATION
        item = error.item
    # Handlers are imported even if the file has other problems, so that one run reports everything.

    def about_to_load(found: list[Problem], one: Problem) -> None:
        """Send the answer that applies if the process ends now."""
        so_far = in_order([*problems, *found, one])
        send({"problems": [form(problem) for problem in so_far], "loading": so_far.index(one)})

    monkey_patch = item.below("monkey_patch")
    patched = monkey_patch is None or monkey_patch.text != "false"
    unpatched = patch(_AT_START) if patched else []
    folders = _import_path(item, base_of(arguments.file[0]))
    problems += _import(item, folders, about_to_load)
    send({})  # if the process ends from here on, it is not the handler's fault
    nowhere = _missing_folders(item, folders)
    if problems or loaded is None:
        problems += nowhere  # they may be the cause
        return {"problems": [form(problem) for problem in in_order(problems)]}, exit_codes.CONFIGURATION
    about_code = [*unpatched, *(hazards(sys.modules) if patched else [])]
    warnings = [*loaded.warnings, *(Problem(Place(arguments.file[0]), "", text) for text in about_code)]
    warnings += [*nowhere, *_found_by_chance(loaded, folders)]
    found: dict[str, Any] = {
        "settings": to_json(loaded.settings),
        "warnings": [form(problem) for problem in warnings],
        "code": _digest(folders),
    }
    if arguments.details:
        from gearpool.config.showing import show

        found["shown"] = show(loaded)
        found["blocking"] = blocking()
    return found, exit_codes.OK


def _as_object(problem: Problem) -> dict[str, Any]:
    return {**dataclasses.asdict(problem.place), "path": problem.path, "message": problem.message}


def _import_path(item: Item, base: Path) -> list[str]:
    given = item.below("import_path")
    names = ["."] if given is None else [each.text for each in given.items] or [given.text]
    return [str(base / name) for name in names]


def _missing_folders(item: Item, folders: list[str]) -> list[Problem]:
    from gearpool.config import Problem

    given = item.below("import_path")
    if given is None or given.tag not in ("str", "seq"):
        return []
    items = zip(given.items or [given], folders, strict=True)
    return [
        Problem(each.place, "import_path", f"there is no folder {folder}")
        for each, folder in items
        if each.tag == "str" and "\0" not in folder and not os.path.exists(folder)  # noqa: PTH110 - Path may raise
    ]


def _import(item: Item, folders: list[str], about_to_load: Callable[[list[Problem], Problem], None]) -> list[Problem]:
    """Import every handler and exception class in the configuration; returns the problems."""
    from gearpool import handlers
    from gearpool.config import Problem
    from gearpool.errors import ConfigurationError

    sys.path[:0] = folders
    problems: list[Problem] = []

    def attempt(find: Callable[[str], object], name: str, place: Place, path: str) -> None:
        about_to_load(problems, Problem(place, path, f"loading {name} ended the process"))
        try:
            find(name)
        except ConfigurationError as error:
            problems.append(Problem(place, path, str(error)))
        except Exception as error:  # noqa: BLE001 - proxies may raise anything on attribute access
            problems.append(Problem(place, path, f"{name} cannot be inspected: {type(error).__name__}: {error}"))

    def attempt_classes(section: Item | None, path: str) -> None:
        on_error = section.below("on_error") if section is not None else None
        for name, (place, _) in on_error.entries.items() if on_error is not None else ():
            if "." in name or ":" in name:
                attempt(handlers.exception_class, name, place, f"{path}.on_error.{name}")

    attempt_classes(item.below("defaults"), "defaults")
    functions = item.below("functions")
    for name, (_, function) in functions.entries.items() if functions is not None else ():
        handler = function if function.tag == "str" else function.below("handler")
        if handler is not None and handler.tag == "str" and handler.text:
            attempt(handlers.load, handler.text, handler.place, f"functions.{name}.handler")
        attempt_classes(function, f"functions.{name}")
    return problems


def _found_by_chance(loaded: Loaded, folders: list[str]) -> list[Problem]:
    """Warnings for handlers that are found only because the command was started in their folder."""
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        return []  # the folder has been removed, as old releases are
    # If it is on the path once, ``python -m`` put it there, not import_path or PYTHONPATH.
    if sys.path.count(here) != 1 or sys.flags.safe_path or here in map(os.path.realpath, folders):
        return []
    found: list[Problem] = []
    for function in loaded.settings.functions:
        module = sys.modules.get(function.handler.partition(":")[0].partition(".")[0])
        if module is None or module.__name__ == "gearpool":
            continue
        if here in _folders_of(module):
            message = "was found only because the command runs in its folder; add that folder to import_path"
            found.append(loaded.problem(message, "functions", function.name, "handler"))
    return found


def _folders_of(module: ModuleType) -> list[str]:
    """The sys.path folders in which a top-level module was found; a namespace package may have several."""
    parts = getattr(module, "__path__", None)
    path = getattr(module, "__file__", None)
    if parts is not None and not isinstance(path, str):
        return [str(Path(part).parent) for part in parts]
    if not isinstance(path, str):
        return []
    return [str(Path(path).parent if parts is None else Path(path).parent.parent)]


def _digest(folders: list[str]) -> str:
    """A digest of the source of all modules outside installed packages, and of where symlinks to the folders lead."""
    # The exact folders, not sys.prefix: /usr would include /usr/src/app, where images keep the application.
    installed = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))
    sources = hashlib.sha256()
    for folder in [*folders, "."]:
        with contextlib.suppress(FileNotFoundError):  # the working directory may have been removed
            sources.update(os.fsencode(os.path.realpath(folder)) + b"\0")
    for name, module in sorted(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue  # None marks a forbidden import; some libraries put other objects there
        path = vars(module).get("__file__")  # getattr would load lazy modules, and some of these raise
        if not isinstance(path, str) or path.startswith(installed) or _PACKAGES.intersection(Path(path).parts):
            continue
        try:
            sources.update(f"{name}\0".encode())
            sources.update(Path(path).read_bytes())
        except OSError:
            continue
    return sources.hexdigest()


def _exit(code: int) -> NoReturn:
    """Exit, with a time limit for the exit handlers of the user's modules."""
    # The answer is printed, but the supervisor acts on it only after this process has ended.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
    signal.alarm(EXIT_S)
    leave(code)


if __name__ == "__main__":
    try:
        _exit(main())
    except KeyboardInterrupt:
        _exit(exit_codes.INTERRUPTED)
