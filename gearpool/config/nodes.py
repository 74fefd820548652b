"""YAML files as trees of items that know their place. Floor 3.

Errors carry file, line and column, and reading never takes long: a file is read up to MAX_BYTES, and an alias bomb ends
at MAX_ITEMS. Every problem is collected; only YAML's own syntax errors stop at the first.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gearpool.config.variables import Environment, VariableError, expand
from gearpool.logs import visible

MAX_BYTES = 4 * 1024 * 1024
MAX_ITEMS = 100_000
MAX_DEPTH = 30

BROKEN = "broken"
"""The tag of an item whose problem is reported already."""

_WITHOUT_TEXT = {"map": "a mapping", "seq": "a list", "null": "nothing"}
_TAGS = frozenset({"str", "int", "float", "bool", "null", "merge", "timestamp", "value"})

_Resolver = yaml.resolver.Resolver
_UNPRINTABLE = re.compile(yaml.reader.Reader.NON_PRINTABLE)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: lines and columns from 1; 0 when it has none."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """``file:line:column``, as editors jump to."""
        file = visible(self.file)
        return f"{file}:{self.line}:{self.column}" if self.line else file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        """``file:line:column: path: message``, harmless to a terminal; a traceback in the message keeps its lines."""
        path = f": {visible(self.path)}" if self.path else ""
        message = "\n".join(map(visible, self.message.split("\n")))
        return f"{self.place}{path}: {message}"


@dataclass(slots=True)
class Item:
    """A value of the file.

    Attributes:
        place: where it begins.
        tag: ``map``, ``seq``, ``str``, ``int``, ``float``, ``bool``, ``null`` or another of YAML's, without its prefix.
        text: a scalar's text as written, variables expanded.
        plain: written without quotes.
        entries: a mapping's keys (as text) and values, with the keys' own places.
        items: a sequence's items.
    """

    place: Place
    tag: str
    text: str = ""
    plain: bool = False
    entries: dict[str, tuple[Place, Item]] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)

    def below(self, name: str) -> Item | None:
        """The value of this key of a mapping; None if it has no such key."""
        return self.entries[name][1] if name in self.entries else None

    def found(self) -> str:
        """How a message names it."""
        if self.tag in _WITHOUT_TEXT:
            return _WITHOUT_TEXT[self.tag]
        if self.tag == "bool" and self.plain:
            meaning = yaml.constructor.SafeConstructor.bool_values.get(self.text.lower())
            if meaning is not None and self.text != str(meaning).lower():
                return f"{self.text}, which YAML reads as {str(meaning).lower()}"
        if self.tag == "int" and self.place.line and len(self.text) <= 60:
            meant = _meant(self.text)
            if meant is not None and str(meant) != self.text.replace("_", "").lstrip("+"):
                return f"{self.text}, which YAML reads as {meant}"
        shown = visible(self.text if len(self.text) <= 60 else self.text[:57] + "...")
        return shown if self.plain and shown else f'"{shown}"'


def _meant(text: str) -> int | None:
    """What YAML takes ``text`` for as a number; None if it is none, which a tag may claim nevertheless."""
    try:
        node = yaml.ScalarNode("tag:yaml.org,2002:int", text)
        return int(yaml.constructor.SafeConstructor().construct_yaml_int(node))
    except (ValueError, IndexError):
        return None


class _UnreadableError(Exception):
    """A file of which nothing can be used, because of this problem."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(place, "", message)


def read(path: Path, shown: str, environment: Environment, problems: list[Problem]) -> Item | None:
    """The file as an item; None if it could not be read. What is wrong is added to ``problems``."""
    try:
        node = _compose(_text(path, shown), shown)
    except _UnreadableError as error:
        problems.append(error.problem)
        return None
    return _Builder(shown, environment, problems).build(node, "", 0)


def _compose(text: str, shown: str) -> yaml.Node:
    try:
        _refuse_deep(text, shown)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        place = _at(shown, error.problem_mark or error.context_mark)
        if error.context == "expected a single document in the stream":
            raise _UnreadableError(place, "another document begins here; a file has one") from None
        detail = error.problem or "cannot be parsed"
        if error.context:
            detail = f"{detail} ({error.context})"
        raise _UnreadableError(place, f"not YAML: {detail}{_hint(text, place)}") from None
    except yaml.YAMLError as error:
        raise _UnreadableError(Place(shown), f"not YAML: {str(error).splitlines()[0]}") from None
    if node is None or node.tag == "tag:yaml.org,2002:null":
        raise _UnreadableError(Place(shown), "the file is empty; it needs at least servers and functions")
    return node


def _refuse_deep(text: str, shown: str) -> None:
    """Refuse what is unsafe to compose: libyaml's binding recurses until the stack ends (SIGSEGV)."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH + 1:
                raise _UnreadableError(_at(shown, event.start_mark), f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _at(shown: str, mark: Any) -> Place:
    return Place(shown, mark.line + 1, mark.column + 1) if mark else Place(shown)


def _behind(shown: str, text: str) -> Place:
    """The position behind ``text``, with which the file begins."""
    return Place(shown, text.count("\n") + 1, len(text) - text.rfind("\n"))


def _hint(text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    if "\t" in line:
        return "; indent with spaces, not tabs"
    if "${" in line:
        return '; inside brackets, quote what has a variable: "${NAME}"'
    return ""


def _text(path: Path, shown: str) -> str:
    place = Place(shown)
    try:
        # To open a pipe for reading waits until somebody writes to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                raise _UnreadableError(place, "is a pipe, which can be read only once; name a file")
            raw = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise _UnreadableError(place, "is a directory; name a file") from None
    except FileNotFoundError:
        raise _UnreadableError(place, "no such file") from None
    except OSError as error:
        raise _UnreadableError(place, f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise _UnreadableError(place, f"is larger than {MAX_BYTES >> 20} MiB, which no configuration is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _behind(shown, raw[: error.start].decode("latin-1"))
        raise _UnreadableError(place, f"is not UTF-8: byte 0x{raw[error.start]:02x}") from None
    unprintable = _UNPRINTABLE.search(text)
    if unprintable is not None:
        place = _behind(shown, text[: unprintable.start()])
        raise _UnreadableError(place, f"has a control character {unprintable[0]!r}")
    return text


class _Builder:
    """Composes items from YAML's nodes."""

    def __init__(self, shown: str, environment: Environment, problems: list[Problem]) -> None:
        self._shown = shown
        self._environment = environment
        self._problems = problems
        self._count = 0
        self._resolver: Any = _Resolver()

    def build(self, node: yaml.Node, path: str, depth: int) -> Item | None:
        place = _at(self._shown, node.start_mark)
        self._count += 1
        if self._count > MAX_ITEMS or depth > MAX_DEPTH:
            if self._count < 1 << 40:
                self._count = 1 << 40  # once is enough
                too = f"nested deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else "aliases unfold to too much"
                self._problems.append(Problem(place, path, too))
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place, path)
        if node.tag not in ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            self._problems.append(Problem(place, path, f"has the tag {node.tag}, which means nothing here"))
            return None
        if isinstance(node, yaml.SequenceNode):
            item = Item(place, "seq")
            for number, each in enumerate(node.value):
                built = self.build(each, f"{path}[{number}]", depth + 1)
                if built is not None:
                    item.items.append(built)
            return item
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, place, path, depth)

    def _scalar(self, node: yaml.ScalarNode, place: Place, path: str) -> Item | None:
        text, tag = node.value, node.tag
        plain = not node.style  # None from the Python parser, "" from the C one
        if "${" in text:
            try:
                text = expand(text, self._environment)
            except VariableError as error:
                self._problems.append(Problem(place, path, str(error)))
                return None
            if plain:
                # As if it had been written there: concurrency: ${N} is a number.
                tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False))
        if tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self._problems.append(Problem(place, path, f"has the tag {tag}, which means nothing here"))
            return None
        return Item(place, tag.rpartition(":")[2], text, plain)

    def _mapping(self, node: yaml.MappingNode, place: Place, path: str, depth: int) -> Item:
        item = Item(place, "map")
        for key_node, value_node in node.value:
            where = _at(self._shown, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.append(Problem(where, path, "a key must be a plain word"))
                continue
            key = self._scalar(key_node, where, path)
            if key is None:
                continue
            if key.tag == "merge":
                self._problems.append(Problem(where, path, 'merge keys ("<<") are not supported; use defaults'))
                continue
            if key.tag in ("bool", "null") and key.plain and key.text:
                message = f'the key {key.text} is read by YAML as {key.tag}; quote it: "{key.text}"'
                self._problems.append(Problem(where, path, message))
                continue
            below = f"{path}.{key.text}" if path else key.text
            if key.text in item.entries:
                first = item.entries[key.text][0]
                self._problems.append(Problem(where, below, f"is given twice, first in line {first.line}"))
                continue
            value = self.build(value_node, below, depth + 1)
            # What is broken is reported already; it still counts as given.
            item.entries[key.text] = (where, value if value is not None else Item(where, BROKEN))
        return item
