"""Formats log lines as text, json or logfmt: from records to fields to lines. Floor 2; stdlib only.

Whatever the input, a line of ``json`` or ``logfmt`` holds no line break or control character, and no field is longer than
`MAX_FIELD` bytes; what was cut is marked. ``text`` is for people: a traceback follows on lines of its own, which are
indented, so that nothing in them can be mistaken for an event.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

FIELDS = ("function", "handle", "unique", "server", "attempt", "duration_s", "outcome")
"""The fields that come first, in this order, when they are given."""

MAX_FIELD = 8192
"""Bytes of UTF-8 that one field may have."""
MAX_ITEMS = 1000
"""Items of a list or mapping that are shown."""
TAIL = 2048
"""Bytes of these that are left to the end of a traceback, where the exception is."""

EVENT = "gearpool_event"
EXTRA = "gearpool_fields"
SENTENCE = "gearpool_message"
"""Attributes of a record: the event's name, its fields, and its message without these."""

ORDINARY = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})
"""What every record has; not fields, nor may a field be put on a record by such a name."""
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}
_PLAIN = "\x1b[0m"
_HEAD = frozenset({"ts", "level", "event", "message"})
_STACKS = ("stack", "traceback")
_LARGEST_INT = 1 << 64
_MARKS = 4
"""What JSON puts around a value, in bytes."""

Formatter = Callable[[Mapping[str, Any]], str]


def as_fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a record: ts, level, event, message, then the known fields in their order, the others, and pid.

    A record that was not made by `gearpool.logs.emit` (a handler's ``job.log``, a library) is the event ``log``, with
    what its ``extra`` held as fields and its ``logger``.
    """
    own = record.__dict__
    event = own.get(EVENT)
    given: dict[str, Any]
    if event is None:
        event = "log"
        given = {name: value for name, value in own.items() if name not in ORDINARY}
        given["logger"] = record.name
        message = _message(record)
    else:
        given = own[EXTRA]
        message = own[SENTENCE]
    line: dict[str, Any] = {"ts": _timestamp(record.created), "level": record.levelname.lower(), "event": event}
    if message:
        line["message"] = value(message)
    for name in FIELDS:
        if given.get(name) is not None:
            line[name] = value(given[name])
    for name, each in given.items():
        if each is not None and name not in line:
            line[name] = value(each)
    if record.exc_info and record.exc_info[1] is not None:
        line["traceback"] = _traceback(record.exc_info[1])
    elif record.exc_text:
        line["traceback"] = _safe(cut(record.exc_text, TAIL))
    line.setdefault("pid", record.process)
    return line


def as_sentence(event: str, message: str, fields: Mapping[str, Any]) -> str:
    """An event in one line of text, for handlers that know nothing of fields: an application's own."""
    words = " ".join([event, *(f"{name}={_quoted(value(each))}" for name, each in fields.items() if each is not None)])
    return f"{visible(str(value(message)))} [{words}]" if message else f"[{words}]"


def formatter(kind: str, *, colour: bool = False) -> Formatter:
    """The function that turns fields into one line: ``text``, ``json`` or ``logfmt``."""
    if kind == "json":
        return _json
    if kind == "logfmt":
        return lambda line: " ".join(f"{name}={_quoted(each)}" for name, each in line.items())
    return lambda line: _text(line, colour)


def _json(line: Mapping[str, Any]) -> str:
    # json.dumps leaves these as they are, but to some readers they end a line
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str).translate(_LINE_ENDS)


_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x7F, 0x85, 0x2028, 0x2029)}


def _text(line: Mapping[str, Any], colour: bool) -> str:
    level = line["level"]
    moment = dt.datetime.fromisoformat(line["ts"]).astimezone().isoformat(sep=" ", timespec="milliseconds")
    head = f"{moment} {level.upper():<7} {visible(str(line['event']))}"
    paint = _COLOURS.get(level) if colour else None
    if paint:
        head = f"{paint}{head}{_PLAIN}"
    parts = [head]
    if "message" in line:
        parts.append(visible(str(line["message"])))
    stacks = [str(line[name]) for name in _STACKS if name in line]
    parts += [f"{name}={_quoted(each)}" for name, each in line.items() if name not in _HEAD and name not in _STACKS]
    return "\n    ".join([" ".join(parts), *(visible(each) for stack in stacks for each in stack.split("\n"))])


def _quoted(given: Any) -> str:
    """As logfmt requires: bare if it is one plain word, else in double quotes with escapes."""
    if isinstance(given, bool):
        return "true" if given else "false"
    word = given if isinstance(given, str) else _compact(given)
    if word and word.isprintable() and not any(character in word for character in ' "=\\'):
        return word
    return '"' + visible(word.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _compact(given: Any) -> str:
    if isinstance(given, (list, dict)):
        return json.dumps(given, ensure_ascii=False, separators=(",", ":"), default=str)
    return str(given)


def visible(string: str) -> str:
    """Line breaks and control characters as escapes: a payload cannot forge a line or drive a terminal."""
    if string.isprintable():
        return string
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in string
    )


def value(given: Any) -> Any:
    """A value that json, text and logfmt can all show, of at most `MAX_FIELD` bytes. It never raises."""
    if type(given) is str and len(given) * 4 <= MAX_FIELD:
        return _safe(given)
    try:
        shown = _shown(given, _Room())
        return cut(text) if isinstance(shown, (list, dict)) and _size(text := _compact(shown)) > MAX_FIELD else shown
    except Exception as error:  # noqa: BLE001 - whatever an object's own methods do: the event is logged without it
        return f"<{type(given).__name__} that cannot be shown: {type(error).__name__}>"


def described(given: Any) -> str:
    """Any object, by its ``repr``. It never raises."""
    try:
        return _safe(cut(repr(given)))
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(given).__name__}>"


class _Room:
    """What is left of one field for the values inside a list or mapping."""

    def __init__(self) -> None:
        self.left = MAX_FIELD

    def take(self, string: str) -> str:
        """The string, or as much of it as there is room for."""
        shown = cut(string, limit=max(self.left, 0))
        self.left -= _size(shown)
        return shown


def _shown(given: Any, room: _Room) -> Any:
    if isinstance(given, str):
        return room.take(_safe(given[: MAX_FIELD + 1])) if len(given) <= MAX_FIELD else cut(given, limit=room.left)
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, int):
        return given if -_LARGEST_INT < given < _LARGEST_INT else room.take(hex(given))
    if isinstance(given, float):
        return round(given, 6) if math.isfinite(given) else str(given)
    if isinstance(given, (bytes, bytearray, memoryview)):
        size = len(given)
        text = bytes(given[: MAX_FIELD + 1]).decode("utf-8", "backslashreplace")
        return room.take(text) if size <= MAX_FIELD else cut(text, limit=room.left, size=size, unit="bytes")
    if isinstance(given, Mapping):
        shown: dict[str, Any] = {}
        for name, item in given.items():
            if room.left <= 0 or len(shown) >= MAX_ITEMS:
                shown["..."] = f"{len(given) - len(shown)} more were cut"
                break
            shown[room.take(_safe(str(name)))] = _shown(item, room)
            room.left -= _MARKS
        return shown
    if isinstance(given, Iterable):
        items: list[Any] = []
        for item in given:
            if room.left <= 0 or len(items) >= MAX_ITEMS:
                items.append("... more were cut")
                break
            items.append(_shown(item, room))
            room.left -= _MARKS
        return items
    return _shown(str(given), room)


def cut(
    string: str, tail: int = 0, *, limit: int = MAX_FIELD, size: int | None = None, unit: str = "characters"
) -> str:
    """The string if it has at most ``limit`` bytes; else its beginning, a note of how long it was, and ``tail`` bytes."""
    if size is None:
        if len(string) * 4 <= limit or (len(string) <= limit and _size(string) <= limit):
            return string
        size = len(string)
    note = f"... (cut: it has {size} {unit}) ..." if tail else f"... (cut: it has {size} {unit})"
    end = _safe(string[-tail:]).encode("utf-8")[-tail:].decode("utf-8", "ignore") if tail else ""
    room = max(0, limit - len(note) - tail)
    return _safe(string[:limit]).encode("utf-8")[:room].decode("utf-8", "ignore") + note + end


def _size(string: str) -> int:
    return len(string) if string.isascii() else len(string.encode("utf-8", "backslashreplace"))


def _traceback(error: BaseException) -> str:
    """As the interpreter prints it: the beginning, and the end, where the exception is."""
    try:
        return _safe(cut("".join(traceback.format_exception(error)).rstrip("\n"), TAIL))
    except Exception as fault:  # noqa: BLE001 - an exception whose own methods raise
        frames = "".join(traceback.format_tb(error.__traceback__))
        return _safe(cut(f"{frames}{type(error).__name__} that cannot be shown: {type(fault).__name__}", TAIL))


def _safe(string: str) -> str:
    r"""Without lone surrogates: those that stand for bytes become ``\xNN``."""
    try:
        string.encode("utf-8")
        return string
    except UnicodeEncodeError:
        pass
    try:
        return string.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return string.encode("utf-8", "backslashreplace").decode("utf-8")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the caller's arguments do not fit its format
        return f"{record.msg} {record.args!r}"


def _timestamp(created: float) -> str:
    moment = dt.datetime.fromtimestamp(created, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
