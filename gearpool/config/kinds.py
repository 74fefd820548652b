"""The kinds of values a key may have: what is read, what is expected, and its JSON Schema. Floor 3; pure.

Each class is validator, schema and description at once, so the three cannot disagree. A kind is strict: a bare number
where a unit belongs, a word where a number belongs, and YAML's surprising booleans and numbers are refused.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from gearpool import units
from gearpool.config.nodes import Item, Place
from gearpool.errors import InvalidArgument
from gearpool.net.addresses import parse_server
from gearpool.net.http_address import parse_http_address
from gearpool.settings import handle_prefix_problem, store_problem, token_problem

Schema = dict[str, Any]
Report = Callable[[Place, str, str], None]
"""Takes the place, the path and the message of a problem."""

VARIABLE = r"\$\{[A-Za-z_]"
"""The pattern of a variable in the schema, which accepts it everywhere because its value is unknown."""

MISSING: Any = object()
"""What `Kind.collect` returns for a value that has problems."""


class Unexpected(ValueError):
    """An item of the wrong kind; the text has what was expected, and what was found."""


def or_variable(schema: Schema) -> Schema:
    """``schema``, or a text with a variable."""
    return {"anyOf": [schema, {"type": "string", "pattern": VARIABLE}]}


class Kind:
    """A kind of value.

    Attributes:
        expected: the wording in messages.
        shown: the wording in the reference table.
        wants_text: a message advises to quote what YAML reads as something else.
    """

    expected = ""
    shown = ""
    wants_text = False

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
        misread = item.plain and item.text and item.tag in ("bool", "null", "int", "float", "timestamp", "value")
        hint = f'; quote it: "{item.text}"' if misread and self.wants_text else ""
        return Unexpected(f"expected {self.expected}, got {item.found()}{hint}")

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
            raise self.refuse(item)
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
    """A number and a unit in one word, such as ``30s``; ``pattern`` narrows what is a number."""

    def __init__(
        self, expected: str, shown: str, known: Mapping[str, float], *, zero: bool = False, pattern: str = ""
    ) -> None:
        self.expected = expected
        self.shown = shown
        self._units = known
        self._zero = zero
        self._pattern = pattern or units.pattern(known, zero=zero)

    def read(self, item: Item) -> float:
        """See `Kind`."""
        value = units.parse(item.text, self._units, zero=self._zero) if item.tag == "str" else None
        if value is None or not re.match(self._pattern, item.text):
            raise self.refuse(item)
        return value

    def schema(self) -> Schema:
        """See `Kind`."""
        return {"type": "string", "pattern": f"{self._pattern}|{VARIABLE}"}


DURATION = WithUnit('a duration such as "30s"', "duration", units.SECONDS)
DURATION_OR_ZERO = WithUnit('a duration such as "30s"', "duration", units.SECONDS, zero=True)
SIZE = WithUnit('a size such as "512MiB"', "size", units.BYTES)
RATE = WithUnit('a rate such as "50/s"', "rate", units.PER_SECOND)
PERCENT = WithUnit(
    'a percentage such as "20%"', "percentage", units.SHARE, zero=True, pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,6})?)%$"
)


def _without(problem_of: Callable[[str], str]) -> Callable[[str], None]:
    """A check for `Text` that raises the problem which ``problem_of`` finds."""

    def check(text: str) -> None:
        if problem := problem_of(text):
            raise InvalidArgument(problem)

    return check


def _listen(text: str) -> None:
    if "://" in text:
        raise InvalidArgument(f"{text!r}: an address to listen on has no scheme, write host:port")
    parse_server(text)


# For editors, and therefore generous: whether an IPv6 address or a port is one, `parse_server` knows.
_HOST = (
    r"([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,}"
)
ADDRESS_PATTERN = rf"^\s*(gear(\+tls)?://)?({_HOST})/?(\?.*)?\s*$"
WORD_PATTERN = r"^[^\x00 \t\r\n]+$"
NAME_PATTERN = r"^[^\x00\r\n]+$"

LISTEN = Text("an address", _listen, rf"^\s*({_HOST})\s*$")
HTTP_LISTEN = Text("an address", parse_http_address, rf"^\s*(unix:[^\x00]+|{_HOST})\s*$")
TOKEN = Text("a token of printable ASCII characters without spaces", _without(token_problem), r"^[!-~]+$")
HANDLE_PREFIX = Text("a prefix", _without(handle_prefix_problem), r"^[!-~]{1,40}$")
STORE = Text("memory or a path", _without(store_problem), r"^[^\x00]*$")
PATH = Text("a path", _without(lambda text: "a path cannot have a NUL in it" if "\0" in text else ""), r"^[^\x00]*$")
