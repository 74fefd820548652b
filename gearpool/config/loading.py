"""Loads configuration: files, environment and command line are merged, and all problems are reported together. Floor 3.

The command line overrides the environment, which overrides the file, and every value remembers where it came from.
"""

from __future__ import annotations

import grp
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gearpool.config.assembling import assemble
from gearpool.config.kinds import MISSING
from gearpool.config.model import ROOT
from gearpool.config.nodes import BROKEN, Item, Place, Problem, read
from gearpool.errors import ConfigurationError
from gearpool.net.http_address import parse_http_address
from gearpool.settings import FunctionSettings, Settings

SERVER_VARIABLES = ("GEARPOOL_SERVERS", "GEARMAN_SERVERS")


class ConfigurationProblems(ConfigurationError):
    """The configuration is wrong.

    Attributes:
        found: every `Problem`, in the order of the files.
        item: the merged tree, to check further; None if there is none.
    """

    def __init__(self, found: Iterable[Problem], item: Item | None = None) -> None:
        self.found = tuple(found)
        self.item = item
        super().__init__(*(str(problem) for problem in self.found))


@dataclass(frozen=True)
class Overrides:
    """The settings of the command line; None where it has none."""

    processes: str | None = None
    concurrency: str | None = None
    servers: str | None = None
    log_level: str | None = None


@dataclass
class Loaded:
    """A configuration that can be used, judging by the files alone.

    Attributes:
        settings: what they mean.
        item: the merged tree, for places.
        warnings: what will bite although it is allowed.
    """

    settings: Settings
    item: Item
    warnings: list[Problem] = field(default_factory=list)

    def place(self, *path: str, of_key: bool = False) -> Place:
        """Where the value at ``path`` stands, or its key, or else the nearest value above it."""
        key_place, here = self.item.place, self.item
        for name in path:
            if name not in here.entries:
                return here.place
            key_place, here = here.entries[name]
        return key_place if of_key else here.place

    def problem(self, message: str, *path: str, of_key: bool = False) -> Problem:
        """What is wrong with the value at ``path``, or with its key."""
        return Problem(self.place(*path, of_key=of_key), ".".join(path), message)


def load(
    paths: Iterable[str | Path], overrides: Overrides | None = None, environment: Mapping[str, str] | None = None
) -> Loaded:
    """Read, merge and check ``paths``: files, or folders whose ``*.yaml`` and ``*.yml`` are taken in order of names.

    Handlers are not imported here; see `gearpool.children.checker`.

    Raises:
        ConfigurationProblems: with everything that is wrong.
    """
    environment = environment or {}
    problems: list[Problem] = []
    files = list(_files(paths, problems))
    trees = [tree for path, shown in files if (tree := read(path, shown, environment, problems)) is not None]
    merged = _merge(trees, problems)
    if len(trees) < len(files):
        # What is missing may be in the file that could not be read, and that is reported already.
        for name in ("servers", "functions"):
            merged.entries.setdefault(name, (merged.place, Item(merged.place, BROKEN)))
    _override(merged, overrides or Overrides(), environment)
    values: Any = MISSING
    if trees:

        def report(place: Place, path: str, message: str) -> None:
            problems.append(Problem(place, path, message))

        values = ROOT.collect(merged, "", report)
    elif not problems:
        problems.append(Problem(Place("-c"), "", "no configuration file is named"))
    if problems or values is MISSING:
        raise ConfigurationProblems(in_order(problems), merged)
    settings = assemble(values, files[0][0].absolute())
    loaded = Loaded(settings, merged)
    problems += _own_server_twice(settings, loaded)
    for function in settings.functions:
        problems += _contradictions(function, loaded)
    if not settings.functions:
        problems.append(loaded.problem("there are none; nothing would be served", "functions"))
    if problems:
        raise ConfigurationProblems(in_order(problems), merged)
    loaded.warnings += in_order(_warnings(settings, loaded))
    return loaded


def base_of(path: str | Path) -> Path:
    """Where relative paths start from, if ``path`` is the first that is named: its folder, or itself if it is one."""
    return (Path(path) if os.path.isdir(path) else Path(path).parent).absolute()  # noqa: PTH112 - as in _files


def _files(paths: Iterable[str | Path], problems: list[Problem]) -> Iterable[tuple[Path, str]]:
    for each in paths:
        path = Path(each)
        # Not Path.is_dir, whose errors open reports better: no permission, a name that is too long.
        if os.path.isdir(each):  # noqa: PTH112
            try:
                inside = sorted(entry for entry in path.iterdir() if _belongs(entry))
            except OSError as error:
                problems.append(Problem(Place(str(each)), "", f"cannot be read: {error.strerror}"))
                continue
            if not inside:
                problems.append(Problem(Place(str(each)), "", "the folder has no *.yaml file"))
            for entry in inside:
                yield entry, str(Path(each) / entry.name)
        else:
            yield path, str(each)


def _belongs(entry: Path) -> bool:
    """Whether a folder's entry is a part: not an editor's hidden copy. A dangling link is one, and reported as missing."""
    name = entry.name
    return name.endswith((".yaml", ".yml")) and not name.startswith(".") and not os.path.isdir(entry)  # noqa: PTH112


def _merge(trees: list[Item], problems: list[Problem]) -> Item:
    if len(trees) == 1:
        return trees[0]
    merged = Item(trees[0].place if trees else Place(""), "map")
    for tree in trees:
        if tree.tag != "map":
            problems.append(Problem(tree.place, "", f"expected {ROOT.expected}, got {tree.found()}"))
            continue
        for name, (place, value) in tree.entries.items():
            before = merged.entries.get(name)
            if before is None:
                merged.entries[name] = (place, _copy(value) if name == "functions" else value)
            elif name == "functions" and before[1].tag == value.tag == "map":
                for function, entry in value.entries.items():
                    if function in before[1].entries:
                        first = before[1].entries[function][0]
                        problems.append(Problem(entry[0], f"functions.{function}", f"is given twice, first in {first}"))
                    else:
                        before[1].entries[function] = entry
            else:
                problems.append(Problem(place, name, f"is given twice, first in {before[0]}"))
    return merged


def _copy(item: Item) -> Item:
    return Item(item.place, item.tag, item.text, item.plain, dict(item.entries), list(item.items))


def _override(merged: Item, overrides: Overrides, environment: Mapping[str, str]) -> None:
    if merged.tag != "map":
        return

    def put(name: str, origin: str, text: str, tag: str = "str") -> None:
        place = Place(origin)
        merged.entries[name] = (place, Item(place, tag, text, plain=True))

    def put_servers(origin: str, text: str) -> None:
        place = Place(origin)
        words = [Item(place, "str", word.strip()) for word in text.split(",") if word.strip()]
        merged.entries["servers"] = (place, Item(place, "seq", items=words))

    for variable in SERVER_VARIABLES:
        if environment.get(variable, "").strip():
            put_servers(variable, environment[variable])
            break
    if overrides.servers is not None:
        put_servers("--servers", overrides.servers)
    if overrides.processes is not None:
        put("processes", "--processes", overrides.processes, _int_tag(overrides.processes))
    if overrides.concurrency is not None:
        put("concurrency", "--concurrency", overrides.concurrency, _int_tag(overrides.concurrency))
    if overrides.log_level is not None:
        place = Place("--log-level")
        before = merged.entries.get("log")
        log = _copy(before[1]) if before is not None and before[1].tag == "map" else Item(place, "map")
        log.entries["level"] = (place, Item(place, "str", overrides.log_level))
        merged.entries["log"] = (before[0] if before else place, log)


def _int_tag(text: str) -> str:
    return "int" if text.lstrip("+-").isdigit() else "str"


def _own_server_twice(settings: Settings, loaded: Loaded) -> Iterable[Problem]:
    """``embedded`` and its own address, both among the servers."""
    names = [str(server) for server in settings.servers]
    listed = loaded.item.entries["servers"][1].items
    for number, item in enumerate(listed):
        if settings.embedded is not None and item.text != "embedded" and names.count(names[number]) > 1:
            message = "is the address of embedded, which is among the servers too"
            yield Problem(item.place, f"servers[{number}]", message)


def _contradictions(function: FunctionSettings, loaded: Loaded) -> Iterable[Problem]:
    """What each key allows and all of them together do not."""
    path = ("functions", function.name)
    if function.retry.then == "dead_letter" and function.dead_letter is None:
        yield loaded.problem("is dead_letter, but dead_letter does not say where to", *path, "retry", "then")
    if function.dead_letter is not None and function.dead_letter.function == function.name:
        message = "must not be the function itself: its dead letters would loop"
        yield loaded.problem(message, *path, "dead_letter", "function")


def _warnings(settings: Settings, loaded: Loaded) -> Iterable[Problem]:
    if settings.embedded is not None and settings.embedded.store == "memory":
        message = "waiting background jobs are lost when gearpool stops; name a file to keep them (store: jobs.sqlite)"
        yield loaded.problem(message, "embedded", "store")
    if settings.embedded is None and "embedded" in loaded.item.entries:
        yield loaded.problem("has no effect: embedded is not among the servers", "embedded", of_key=True)
    http = settings.http
    if http is not None and http.read_token is None and not parse_http_address(http.listen).is_local:
        message = (
            f"{http.listen} can be reached from other machines: without read_token anyone there can read "
            "names, handles and tracebacks"
        )
        yield loaded.problem(message, "http", "listen")
    group = settings.control.group
    if group is not None and not _is_group(group):
        message = f"this machine has no group {group}; without it gearpool does not start"
        yield loaded.problem(message, "control", "group")
    for function in settings.functions:
        path = ("functions", function.name)
        if function.concurrency is not None and function.concurrency > settings.concurrency:
            yield loaded.problem(
                f"is {function.concurrency}, but the process's concurrency of {settings.concurrency} comes first",
                *path, "concurrency",
            )  # fmt: skip
        if function.timeout_s is None and function.enabled:
            message = "has no timeout: a handler that hangs keeps its slot for ever"
            yield loaded.problem(message, *path, of_key=True)
        elif function.timeout_s is not None and function.timeout_s > settings.drain_timeout_s:
            yield loaded.problem(
                f"may run {function.timeout_s:g} s, longer than drain_timeout ({settings.drain_timeout_s:g} s): "
                "a restart interrupts such jobs",
                *path, of_key=True,
            )  # fmt: skip


def _is_group(name: str) -> bool:
    if name.isascii() and name.isdecimal():
        return True
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file, line and column; the command line and the environment first."""
    return sorted(problems, key=lambda each: (each.place.line > 0, each.place.file, each.place.line, each.place.column))
