"""YAML files as trees of items that know their place. Floor 3.

Law: what is refused here is refused with file, line and column, and never takes long: a file is read up to MAX_BYTES,
an alias bomb ends at MAX_ITEMS. Every problem is collected; nothing stops at the first but YAML's own syntax.
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
"""The tag of an item whose problem is told already."""

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

    def found(self) -> str:
        """How a message names it."""
        if self.tag == "map":
            return "a mapping"
        if self.tag == "seq":
            return "a list"
        if self.tag == "null":
            return "nothing"
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


def read(path: Path, shown: str, environment: Environment, problems: list[Problem]) -> Item | None:
    """The file as an item; None if there is nothing to go on with. What is wrong is added to ``problems``."""
    text = _text(path, shown, problems)
    if text is None:
        return None
    try:
        if not _is_shallow(text, shown, problems):
            return None
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(shown, mark.line + 1, mark.column + 1) if mark else Place(shown)
        if error.context == "expected a single document in the stream":
            problems.append(Problem(place, "", "another document begins here; a file has one"))
            return None
        detail = error.problem or "cannot be parsed"
        if error.context:
            detail = f"{detail} ({error.context})"
        problems.append(Problem(place, "", f"not YAML: {detail}{_hint(text, place)}"))
        return None
    except yaml.YAMLError as error:
        problems.append(Problem(Place(shown), "", f"not YAML: {str(error).splitlines()[0]}"))
        return None
    if node is None or node.tag == "tag:yaml.org,2002:null":
        problems.append(Problem(Place(shown), "", "the file is empty; it needs at least servers and functions"))
        return None
    return _Builder(shown, environment, problems).build(node, "", 0)


def _is_shallow(text: str, shown: str, problems: list[Problem]) -> bool:
    """Whether it is safe to compose ``text``, for which libyaml's binding recurses until the stack ends (SIGSEGV)."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH + 1:
                mark = event.start_mark
                place = Place(shown) if mark is None else Place(shown, mark.line + 1, mark.column + 1)
                problems.append(Problem(place, "", f"nested deeper than {MAX_DEPTH} levels"))
                return False
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return True


def _hint(text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    if "\t" in line:
        return "; indent with spaces, not tabs"
    if "${" in line:
        return '; inside brackets, quote what has a variable: "${NAME}"'
    return ""


def _text(path: Path, shown: str, problems: list[Problem]) -> str | None:
    place = Place(shown)
    try:
        # To open a pipe for reading waits until somebody writes to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                problems.append(Problem(place, "", "is a pipe, which can be read only once; name a file"))
                return None
            raw = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        problems.append(Problem(place, "", "is a directory; name a file"))
        return None
    except FileNotFoundError:
        problems.append(Problem(place, "", "no such file"))
        return None
    except OSError as error:
        problems.append(Problem(place, "", f"cannot be read: {error.strerror}"))
        return None
    if len(raw) > MAX_BYTES:
        problems.append(Problem(place, "", f"is larger than {MAX_BYTES >> 20} MiB, which no configuration is"))
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        problems.append(Problem(Place(shown, line, column), "", f"is not UTF-8: byte 0x{raw[error.start]:02x}"))
        return None
    unprintable = _UNPRINTABLE.search(text)
    if unprintable is not None:
        start = unprintable.start()
        line = text.count("\n", 0, start) + 1
        column = start - (text.rfind("\n", 0, start) + 1) + 1
        problems.append(Problem(Place(shown, line, column), "", f"has a control character {unprintable[0]!r}"))
        return None
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
        place = Place(self._shown, node.start_mark.line + 1, node.start_mark.column + 1)
        self._count += 1
        if self._count > MAX_ITEMS or depth > MAX_DEPTH:
            if self._count < 1 << 40:
                self._count = 1 << 40  # once is enough
                message = (
                    "aliases unfold to too much" if depth <= MAX_DEPTH else f"nested deeper than {MAX_DEPTH} levels"
                )
                self._problems.append(Problem(place, path, message))
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
            where = Place(self._shown, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
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
            # What is broken is told already; that it was given still counts.
            item.entries[key.text] = (where, value if value is not None else Item(where, BROKEN))
        return item
