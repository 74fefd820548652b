"""The kinds of values a key may have: what is read, what is expected, and how the JSON Schema says it. Floor 3; pure.

Law: one class is at once validator, schema and description, so the three cannot disagree. A kind is strict: a bare number
where a unit belongs, a word where a number belongs and YAML's false friends are refused.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from typing import Any

from gearpool.config.nodes import Item, Place
from gearpool.errors import InvalidArgument
from gearpool.net.addresses import parse_server
from gearpool.settings import handle_prefix_problem, store_problem

Schema = dict[str, Any]
Report = Callable[[Place, str, str], None]
"""Takes the place, the path and the message of a problem."""

VARIABLE = r"\$\{[A-Za-z_]"
"""What a variable looks like to the schema, which cannot know what it will hold and takes it everywhere."""

MISSING: Any = object()
"""What `Kind.collect` returns for a value that has problems."""


class Unexpected(ValueError):
    """An item that is not what the kind wants; the text says what was expected, and what was found."""


def or_variable(schema: Schema) -> Schema:
    """``schema``, or a text with a variable."""
    return {"anyOf": [schema, {"type": "string", "pattern": VARIABLE}]}


class Kind:
    """A kind of value.

    Attributes:
        expected: what a message says was expected.
        shown: what the reference table says.
    """

    expected = ""
    shown = ""

    def read(self, item: Item) -> Any:
        """The value of ``item``.

        Raises:
            Unexpected: it has none of this kind.
        """
        raise NotImplementedError

    def schema(self) -> Schema:
        """The same as JSON Schema."""
        raise NotImplementedError

    def refuse(self, item: Item) -> Unexpected:
        """The error for ``item``."""
        hint = ""
        if (
            item.tag in ("bool", "null", "int", "float", "timestamp", "value")
            and item.plain
            and self.wants_text
            and item.text
        ):
            hint = f'; quote it: "{item.text}"'
        return Unexpected(f"expected {self.expected}, got {item.found()}{hint}")

    wants_text = False

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """The value of ``item``, or MISSING after its problems went to ``report``."""
        try:
            return self.read(item)
        except Unexpected as error:
            report(item.place, path, str(error))
            return MISSING


class Text(Kind):
    """A string."""

    wants_text = True

    def __init__(
        self, expected: str = "text", check: Callable[[str], object] | None = None, pattern: str | None = None
    ) -> None:
        self.expected = expected
        self.shown = "text"
        self._check = check
        self._pattern = pattern

    def read(self, item: Item) -> str:
        """See `Kind`."""
        if item.tag != "str" or not item.text:
            raise self.refuse(item)
        if self._check is not None:
            try:
                self._check(item.text)
            except InvalidArgument as error:
                raise Unexpected(str(error)) from error
        return item.text

    def schema(self) -> Schema:
        """See `Kind`."""
        text: Schema = {"type": "string", "minLength": 1}
        return text | ({"pattern": f"{self._pattern}|{VARIABLE}"} if self._pattern else {})


class Flag(Kind):
    """true or false, and only these: YAML 1.1 takes eleven other words for them."""

    expected = "true or false"
    shown = "true, false"

    def read(self, item: Item) -> bool:
        """See `Kind`."""
        if item.tag != "bool" or item.text not in ("true", "false"):
            raise Unexpected(f"expected {self.expected}, got {item.found()}")
        return item.text == "true"

    def schema(self) -> Schema:
        """See `Kind`."""
        return or_variable({"type": "boolean"})


class Choice(Kind):
    """One of some words."""

    wants_text = True

    def __init__(self, *words: str) -> None:
        self.words = words
        self.shown = ", ".join(words)
        self.expected = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

    def read(self, item: Item) -> str:
        """See `Kind`."""
        if item.tag != "str" or item.text not in self.words:
            error = self.refuse(item)
            near = difflib.get_close_matches(item.text.lower(), self.words, 1, 0.7) if item.tag == "str" else []
            raise Unexpected(f"{error}; did you mean {near[0]}?") if near else error
        return item.text

    def schema(self) -> Schema:
        """See `Kind`."""
        return or_variable({"enum": list(self.words)})


class Count(Kind):
    """A whole number, perhaps with a word that stands for one."""

    def __init__(self, least: int = 1, most: int = 1_000_000, words: dict[str, int] | None = None) -> None:
        self._least, self._most, self._words = least, most, words or {}
        self.expected = f"a whole number from {least} to {most}" + "".join(f" or {word}" for word in self._words)
        self.shown = "number" + "".join(f", {word}" for word in self._words)

    def read(self, item: Item) -> int:
        """See `Kind`."""
        if item.tag == "str" and item.plain and item.text in self._words:
            return self._words[item.text]
        if item.tag != "int" or not re.fullmatch(r"0|[1-9][0-9]{0,18}", item.text):
            raise self.refuse(item)
        number = int(item.text)
        if not self._least <= number <= self._most:
            raise self.refuse(item)
        return number

    def schema(self) -> Schema:
        """See `Kind`."""
        number: Schema = {"type": "integer", "minimum": self._least, "maximum": self._most}
        if not self._words:
            return or_variable(number)
        return {"anyOf": [number, {"enum": list(self._words)}, {"type": "string", "pattern": VARIABLE}]}


class Number(Kind):
    """A number from ``least`` (or above it) up."""

    def __init__(self, least: float, *, above: bool = False) -> None:
        self._least, self._above = least, above
        self.expected = f"a number {'above' if above else 'of at least'} {least:g}"
        self.shown = "number"

    def read(self, item: Item) -> float:
        """See `Kind`."""
        if item.tag not in ("int", "float") or not re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?", item.text):
            raise self.refuse(item)
        number = float(item.text)
        if number < self._least or (self._above and number == self._least) or not math.isfinite(number):
            raise self.refuse(item)
        return number

    def schema(self) -> Schema:
        """See `Kind`."""
        return or_variable({"type": "number", "exclusiveMinimum" if self._above else "minimum": self._least})


class WithUnit(Kind):
    """A number and a unit in one word, such as ``30s``."""

    wants_text = False

    def __init__(self, expected: str, shown: str, units: dict[str, float], *, zero: bool = False) -> None:
        self.expected = expected
        self.shown = shown
        self._units = units
        number = r"[0-9]{1,12}(\.[0-9]{1,6})?"
        if not zero:
            number = rf"(?!0+(\.0+)?[^0-9.]){number}"
        self._pattern = f"^{number}({'|'.join(re.escape(unit) for unit in units)})$"
        self._match = re.compile(self._pattern)

    def read(self, item: Item) -> float:
        """See `Kind`."""
        if item.tag != "str" or not self._match.match(item.text) or item.text.endswith("\n"):
            raise self.refuse(item)
        split = re.fullmatch(r"([0-9.]+)(.*)", item.text)
        assert split is not None
        return float(split[1]) * self._units[split[2]]

    def schema(self) -> Schema:
        """See `Kind`."""
        return {"type": "string", "pattern": f"{self._pattern}|{VARIABLE}"}


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}

DURATION = WithUnit('a duration such as "30s"', "duration", _SECONDS)
DURATION_OR_ZERO = WithUnit('a duration such as "30s"', "duration", _SECONDS, zero=True)
SIZE = WithUnit('a size such as "512MiB"', "size", _BYTES)
RATE = WithUnit('a rate such as "50/s"', "rate", {"/s": 1.0, "/m": 1 / 60, "/h": 1 / 3600})


class Percent(WithUnit):
    """A share from 0% to 100%; read as 0 … 1."""

    def __init__(self) -> None:
        super().__init__('a percentage such as "20%"', "percentage", {"%": 0.01}, zero=True)
        self._pattern = r"^(100|[0-9]{1,2}(\.[0-9]{1,6})?)%$"
        self._match = re.compile(self._pattern)


PERCENT = Percent()


def address(text: str) -> None:
    """Raise InvalidArgument unless ``text`` is a job server's address."""
    parse_server(text)


def _listen(text: str) -> None:
    if "://" in text:
        raise InvalidArgument(f"{text!r}: an address to listen on has no scheme, write host:port")
    parse_server(text)


def _path(text: str) -> None:
    if "\0" in text:
        raise InvalidArgument("a path cannot have a NUL in it")


def _handle_prefix(text: str) -> None:
    problem = handle_prefix_problem(text)
    if problem:
        raise InvalidArgument(problem)


def _store(text: str) -> None:
    problem = store_problem(text)
    if problem:
        raise InvalidArgument(problem)


# For editors, and therefore generous: whether an IPv6 address or a port is one, `parse_server` knows.
_HOST = (
    r"([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,}"
)
ADDRESS_PATTERN = rf"^\s*(gear(\+tls)?://)?({_HOST})/?(\?.*)?\s*$"
WORD_PATTERN = r"^[^\x00 \t\r\n]+$"
NAME_PATTERN = r"^[^\x00\r\n]+$"

LISTEN = Text("an address", _listen, rf"^\s*({_HOST})\s*$")
HANDLE_PREFIX = Text("a prefix", _handle_prefix, r"^[!-~]{1,40}$")
STORE = Text("memory or a path", _store, r"^[^\x00]*$")
PATH = Text("a path", _path, r"^[^\x00]*$")
