"""The checker: reads the configuration, imports every handler as a worker would, and says what it found. Floor 4.

Started by exec as ``python -m gearpool.children.checker --file FILE``; the last line it prints is its answer, a JSON object,
``{"settings": …, "warnings": […]}`` or ``{"problems": […]}``; it exits with 0 or 78. Before it loads a handler it prints
the answer that holds if that ends the process, ``{"problems": […], "loading": NUMBER}`` with that problem's number among
them, and ``{}`` after the last. Handlers that print while they are imported print to stderr: the answer has its own
descriptor.

Law: a process of its own, so that neither YAML nor handlers ever come near the supervisor, and a reload imports new code.
"""

from __future__ import annotations

import argparse
import contextlib
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

from gearpool.children.stacks import show_stacks
from gearpool.leaving import leave

if TYPE_CHECKING:
    from gearpool.config import Item, Loaded, Place, Problem

_AT_START = frozenset(sys.modules)
"""What sitecustomize and .pth files have imported: a worker finds the same before it patches."""

_PACKAGES = frozenset({"site-packages", "dist-packages"})

OK = 0
CONFIGURATION = 78
INTERRUPTED = 130

LEAVING_S = 3
"""How long what handlers' modules do at the exit may take."""

Tell = Callable[[dict[str, Any]], None]


def main(argv: list[str] | None = None) -> int:
    """Check; returns the exit code."""
    parser = argparse.ArgumentParser(description="gearpool's configuration checker; started by the supervisor")
    parser.add_argument("-c", "--file", action="append", required=True)
    for option in ("--processes", "--concurrency", "--servers", "--log-level"):
        parser.add_argument(option)
    parser.add_argument("--details", action="store_true", help="problems and warnings as objects, and origins")
    arguments = parser.parse_args(argv)
    if "GEARPOOL_STACKS_FD" in os.environ:
        show_stacks()  # the supervisor asks; whoever else starts it has a terminal or a debugger
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)

    def tell(found: dict[str, Any]) -> None:
        answer.write(f"{json.dumps(found)}\n")
        answer.flush()

    with answer:
        found, code = _check(arguments, tell)
        tell(found)
    return code


def _check(arguments: argparse.Namespace, tell: Tell) -> tuple[dict[str, Any], int]:
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
            return {"problems": [form(problem) for problem in problems]}, CONFIGURATION
        item = error.item
    # Handlers are looked for even when the file has other problems: all at once, or it takes a night.

    def about_to_load(found: list[Problem], one: Problem) -> None:
        """Say what holds if the process ends now."""
        so_far = in_order([*problems, *found, one])
        tell({"problems": [form(problem) for problem in so_far], "loading": so_far.index(one)})

    monkey_patch = _entry(item, "monkey_patch")
    patched = monkey_patch is None or monkey_patch.text != "false"
    unpatched = patch(_AT_START) if patched else []
    folders = _import_path(item, base_of(arguments.file[0]))
    problems += _import(item, folders, about_to_load)
    tell({})  # from here on it is our own fault if the process ends
    nowhere = _missing_folders(item, folders)
    if problems or loaded is None:
        problems += nowhere  # they may be why
        return {"problems": [form(problem) for problem in in_order(problems)]}, CONFIGURATION
    found: dict[str, Any] = {
        "settings": to_json(loaded.settings),
        "warnings": [form(problem) for problem in loaded.warnings]
        + [form(Problem(Place(arguments.file[0]), "", message)) for message in unpatched]
        + [form(Problem(Place(arguments.file[0]), "", text)) for text in (hazards(sys.modules) if patched else [])]
        + [form(problem) for problem in [*nowhere, *_found_by_chance(loaded, folders)]],
        "code": _digest(folders),
    }
    if arguments.details:
        from gearpool.config.showing import show

        found["shown"] = show(loaded)
        found["blocking"] = blocking()
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


def _import_path(item: Item, base: Path) -> list[str]:
    given = _entry(item, "import_path")
    names = ["."] if given is None else [each.text for each in given.items] or [given.text]
    return [str(base / name) for name in names]


def _missing_folders(item: Item, folders: list[str]) -> list[Problem]:
    from gearpool.config import Problem

    given = _entry(item, "import_path")
    if given is None or given.tag not in ("str", "seq"):
        return []
    items = zip(given.items or [given], folders, strict=True)
    return [
        Problem(each.place, "import_path", f"there is no folder {folder}")
        for each, folder in items
        if each.tag == "str" and "\0" not in folder and not os.path.exists(folder)  # noqa: PTH110 - Path raises for some
    ]


def _import(item: Item, folders: list[str], about_to_load: Callable[[list[Problem], Problem], None]) -> list[Problem]:
    """Import every handler and exception class that is named; what does not work is returned."""
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
        except Exception as error:  # noqa: BLE001 - proxies may raise anything when they are only looked at
            problems.append(Problem(place, path, f"{name} cannot be looked at: {type(error).__name__}: {error}"))

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


def _found_by_chance(loaded: Loaded, folders: list[str]) -> list[Problem]:
    """Warnings of handlers that are found only because this was started in their folder."""
    from gearpool.config import Problem

    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        return []  # the folder was removed, as an old release is: nothing is found there
    # Once on the path means: put there by ``python -m``, not by import_path or PYTHONPATH.
    if sys.path.count(here) != 1 or sys.flags.safe_path or here in map(os.path.realpath, folders):
        return []
    found: list[Problem] = []
    for function in loaded.settings.functions:
        module = sys.modules.get(function.handler.partition(":")[0].partition(".")[0])
        if module is None or module.__name__ == "gearpool":
            continue
        if here in _folders_of(module):
            message = "was found only because this is run in its folder; name that folder in import_path"
            path = f"functions.{function.name}.handler"
            found.append(Problem(loaded.place("functions", function.name, "handler"), path, message))
    return found


def _folders_of(module: ModuleType) -> list[str]:
    """The folders on the path in which a top-level module was found; a namespace package may have several."""
    parts = getattr(module, "__path__", None)
    path = getattr(module, "__file__", None)
    if parts is not None and not isinstance(path, str):
        return [str(Path(part).parent) for part in parts]
    if not isinstance(path, str):
        return []
    return [str(Path(path).parent if parts is None else Path(path).parent.parent)]


def _entry(item: Item, name: str) -> Item | None:
    entry = item.entries.get(name)
    return None if entry is None else entry[1]


def _digest(folders: list[str]) -> str:
    """Changes whenever the source of a module outside the installed packages does, or a link to the folders is swapped."""
    # The folders themselves, not the prefix: /usr would take in /usr/src/app, where images keep the application.
    installed = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))
    sources = hashlib.sha256()
    for folder in [*folders, "."]:
        with contextlib.suppress(FileNotFoundError):  # the working directory may have been removed
            sources.update(os.fsencode(os.path.realpath(folder)) + b"\0")
    for name, module in sorted(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue  # None forbids an import; some libraries put objects there
        path = vars(module).get("__file__")  # getattr would wake lazy modules, and some of these raise
        if not isinstance(path, str) or path.startswith(installed) or _PACKAGES.intersection(Path(path).parts):
            continue
        try:
            sources.update(f"{name}\0".encode())
            sources.update(Path(path).read_bytes())
        except OSError:
            continue
    return sources.hexdigest()


def _leave(code: int) -> NoReturn:
    """Leave, without waiting long for what handlers' modules do at the exit."""
    # The answer is out, but the supervisor acts on it when we have ended.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
    signal.alarm(LEAVING_S)
    leave(code)


if __name__ == "__main__":
    try:
        _leave(main())
    except KeyboardInterrupt:
        _leave(INTERRUPTED)
