"""Composite kinds: sections of known keys, lists, mappings by name, and the few that have forms of their own. Floor 3.

As in `kinds`, each class is validator, schema and description.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from gearpool.config.kinds import (
    ADDRESS_PATTERN,
    MISSING,
    NAME_PATTERN,
    PATH,
    VARIABLE,
    Choice,
    Kind,
    Report,
    Schema,
    Text,
)
from gearpool.config.nodes import BROKEN, Item, Place
from gearpool.errors import InvalidArgument
from gearpool.net.addresses import parse_server
from gearpool.protocol.names import function_name


@dataclass(frozen=True)
class Key:
    """One key of a section.

    Attributes:
        kind: what its value may be.
        meaning: one sentence for the reference and the editor.
        default: the default as users would write it; None: there is none.
        required: it must be given.
        secret: its value is masked wherever it is shown.
    """

    kind: Kind
    meaning: str
    default: str | None = None
    required: bool = False
    secret: bool = False


class _Mapping(Kind):
    """A mapping; ``_entry`` reads one of its values."""

    shown = "see below"

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """See `Kind`."""
        if item.tag != "map":
            report(item.place, path, f"expected {self.expected}, got {item.found()}")
            return MISSING
        values = {
            name: self._entry(name, place, value, f"{path}.{name}" if path else name, report)
            for name, (place, value) in item.entries.items()
        }
        return MISSING if MISSING in values.values() else values

    def _entry(self, name: str, place: Place, value: Item, path: str, report: Report) -> Any:
        raise NotImplementedError


class Section(_Mapping):
    """A mapping of known keys. Its value is a dict of those that were given."""

    def __init__(
        self,
        name: str,
        keys: dict[str, Key],
        check: Callable[[dict[str, Any]], str | None] | None = None,
        rule: Schema | None = None,
        elsewhere: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.keys = keys
        self.expected = f"a mapping with {', '.join(keys)}"
        self._check = check
        self._rule = rule or {}
        self._elsewhere = elsewhere or {}

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """See `Kind`."""
        values = super().collect(item, path, report)
        if item.tag != "map":
            return MISSING
        for name, key in self.keys.items():
            if key.required and name not in item.entries:
                report(item.place, path, f"{name} is missing: {key.meaning}")
                values = MISSING
        if values is not MISSING and self._check is not None and (message := self._check(values)):
            report(item.place, path, message)
            return MISSING
        return values

    def _entry(self, name: str, place: Place, value: Item, path: str, report: Report) -> Any:
        if value.tag == BROKEN:
            return MISSING
        key = self.keys.get(name)
        if key is None:
            report(place, path, f"unknown key{self._nearest(name)}")
            return MISSING
        return key.kind.collect(value, path, _masking(report, key) if key.secret else report)

    def _nearest(self, name: str) -> str:
        if name in self._elsewhere:
            return f"; it belongs to {self._elsewhere[name]}"
        near = difflib.get_close_matches(name, self.keys, 1, 0.6)
        return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(self.keys)}"

    def schema(self) -> Schema:
        """See `Kind`."""
        properties = {}
        for name, key in self.keys.items():
            properties[name] = {**key.kind.schema(), "description": key.meaning}
            if key.default is not None:
                properties[name]["description"] += f" Default: {key.default}."
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [name for name, key in self.keys.items() if key.required]
        if required:
            schema["required"] = required
        return {**schema, **self._rule}


def _masking(report: Report, key: Key) -> Report:
    """Reports what was expected and not what was found: logs and pull requests are read by many."""
    told = f"expected {key.kind.expected}, in quotes if YAML reads it as something else; what was found is a secret"
    return lambda place, path, _message: report(place, path, told)


class OneOrMore(Kind):
    """One value or a list of them; read as a tuple. ``rules`` are the list's in the JSON Schema."""

    rules: ClassVar[Schema] = {"minItems": 1}

    def __init__(self, kind: Kind, what: str) -> None:
        self.kind = kind
        self.expected = f"{what}, or a list of them"
        self.shown = f"{kind.shown}, or a list"

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """See `Kind`."""
        if item.tag != "seq":
            value = self.kind.collect(item, path, report)
            return MISSING if value is MISSING else (value,)
        if not item.items:
            report(item.place, path, f"expected {self.expected}, got an empty list")
            return MISSING
        values = [self.kind.collect(each, f"{path}[{number}]", report) for number, each in enumerate(item.items)]
        return MISSING if MISSING in values else tuple(values)

    def schema(self) -> Schema:
        """See `Kind`."""
        one = self.kind.schema()
        return {"anyOf": [one, {"type": "array", "items": one, **self.rules}]}


class Either(Kind):
    """A short form for plain values, and a section for mappings."""

    def __init__(self, plain: Kind, section: Kind) -> None:
        self.plain = plain
        self.section = section
        self.expected = f"{plain.expected}, or {section.expected}"
        self.shown = plain.shown

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """See `Kind`."""
        if item.tag == "map":
            return self.section.collect(item, path, report)
        try:
            return self.plain.read(item)
        except ValueError as error:
            told = str(error) if item.tag == "str" else f"expected {self.expected}, got {item.found()}"
            report(item.place, path, told)
            return MISSING

    def schema(self) -> Schema:
        """See `Kind`."""
        return {"anyOf": [self.plain.schema(), self.section.schema()]}


class Server(Either):
    """A job server: an address, ``embedded``, or ``{address:, tls:}``."""

    def __init__(self) -> None:
        tls = Section(
            "tls",
            {
                "ca": Key(
                    PATH, "PEM file of the authorities that may have signed the server's certificate.", "the system's"
                ),
                "cert": Key(PATH, "PEM file of the client certificate to present.", "none"),
                "key": Key(PATH, "PEM file of the client certificate's key.", "in cert"),
                "server_name": Key(Text("a name"), "The name that the server's certificate must have.", "the host"),
            },
            lambda given: "a key without a cert" if "key" in given and "cert" not in given else None,
            {"dependentRequired": {"key": ["cert"]}},
        )
        one = Section(
            "server",
            {
                "address": Key(Text("an address", parse_server, ADDRESS_PATTERN), "host:port", required=True),
                "tls": Key(tls, "TLS settings for the connection.", "plain TCP"),
            },
        )
        super().__init__(Text('a server such as "127.0.0.1:4730"', parse_server, ADDRESS_PATTERN), one)
        self.tls = tls
        self.shown = '"host:port", "gear+tls://host:port", {address:, tls:}, embedded'

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """See `Kind`."""
        if item.tag == "str" and item.text == "embedded":
            return "embedded"
        if item.tag == "str" and "," in item.text and "?" not in item.text:
            several = ", ".join(word.strip() for word in item.text.split(","))
            report(item.place, path, f"expected one server; write several as a list: [{several}]")
            return MISSING
        value = super().collect(item, path, report)
        if value is MISSING:
            return MISSING
        try:
            return parse_server(value)
        except InvalidArgument as error:
            report(item.place, path, str(error))
            return MISSING


class Servers(OneOrMore):
    """The job servers, each of them once."""

    rules: ClassVar[Schema] = OneOrMore.rules | {"uniqueItems": True}

    def __init__(self) -> None:
        super().__init__(Server(), "a job server")

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """See `Kind`."""
        values = super().collect(item, path, report)
        if values is MISSING:
            return MISSING
        # By its name, host:port, which is the server's in logs, metrics and handles, whatever its TLS files are.
        first: dict[str, int] = {}
        for number, value in enumerate(values):
            if first.setdefault(str(value).lower(), number) != number:
                same = first[str(value).lower()]
                report(item.items[number].place, f"{path}[{number}]", f"is the same server as {path}[{same}]")
        return values if len(first) == len(values) else MISSING


class OnError(Kind):
    """One action, or an action by exception class and ``default``."""

    wants_text = True

    def __init__(self) -> None:
        self._action = Choice("abort", "skip", "retry")
        self.expected = "abort, skip or retry, or a mapping of exception classes to these"
        self.shown = "abort, skip, retry; or {EXCEPTION: ACTION, default: ACTION}"

    def collect(self, item: Item, path: str, report: Report) -> Any:
        """See `Kind`."""
        if item.tag != "map":
            if item.tag == "str" and item.text in self._action.words:
                return {"default": item.text}
            report(item.place, path, f"expected {self.expected}, got {item.found()}")
            return MISSING
        actions: dict[str, str] = {}
        fine = bool(item.entries)
        if not fine:
            report(item.place, path, f"expected {self.expected}, got an empty mapping")
        for name, (place, value) in item.entries.items():
            action = MISSING if value.tag == BROKEN else self._action.collect(value, f"{path}.{name}", report)
            if action is MISSING:
                fine = False
            elif name != "default" and not _may_be_an_exception(name):
                near = difflib.get_close_matches(name, _EXCEPTIONS, 1, 0.6)
                hint = f"; did you mean {near[0]}?" if near else ""
                told = f'expected an exception class such as "ValueError" or "package.Error"{hint}'
                report(place, f"{path}.{name}", told)
                fine = False
            else:
                actions[name] = action
        return {"default": "abort", **actions} if fine else MISSING

    def schema(self) -> Schema:
        """See `Kind`."""
        action = self._action.schema()
        # No pattern matches just the builtin exceptions, so all of them are listed.
        names = rf"^(default|{'|'.join(_EXCEPTIONS)}|[A-Za-z_]\w*([.:][A-Za-z_]\w*)+)$"
        by_class = {
            "type": "object", "patternProperties": {names: action}, "additionalProperties": False, "minProperties": 1,
        }  # fmt: skip
        return {"anyOf": [action, by_class]}


_EXCEPTIONS = """
    ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError
    BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError
    ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError EncodingWarning EnvironmentError
    Exception ExceptionGroup FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit
    IOError ImportError ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError
    KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError
    NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError
    RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration StopIteration
    SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError TypeError UnboundLocalError
    UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning
    ValueError Warning ZeroDivisionError
""".split()  # noqa: SIM905 - as a literal it would be 64 lines
"""The builtin exceptions of Python 3.11, the oldest we run on: the schema is the same whichever Python prints it.

Newer ones are written as dotted names, such as ``builtins.PythonFinalizationError``.
"""


def _may_be_an_exception(name: str) -> bool:
    """A builtin exception, or a dotted name (which the loading of the handlers will look up)."""
    words = name.replace(":", ".").split(".")
    return name in _EXCEPTIONS or (len(words) > 1 and all(word.isidentifier() and word.isascii() for word in words))


class Functions(_Mapping):
    """The functions by name."""

    def __init__(self, function: Kind) -> None:
        self.function = function
        self.expected = "a mapping of function names to handlers"

    def _entry(self, name: str, place: Place, value: Item, path: str, report: Report) -> Any:
        read = MISSING if value.tag == BROKEN else self.function.collect(value, path, report)
        try:
            function_name(name)
        except InvalidArgument as error:
            report(place, path, str(error))
            return MISSING
        return read

    def schema(self) -> Schema:
        """See `Kind`."""
        return {
            "type": "object",
            "propertyNames": {"pattern": f"{NAME_PATTERN}|{VARIABLE}", "maxLength": 255},
            "additionalProperties": self.function.schema(),
            "minProperties": 1,
        }
