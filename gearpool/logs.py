"""Logging: one event a line, as text, json or logfmt, for the supervisor and every child alike. Floor 2; stdlib only.

Law: a line is one ``write`` (so several processes may share one stderr), it holds no line break or control character
whatever it was given, and logging never raises: a full disk or a hostile payload must not fail a job. A pipe that nobody
reads holds up nobody for long either: lines are dropped, and how many is said as soon as there is room.

Nothing here takes a lock: a `JobTimeout` raised into a handler in the middle of a log call leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import math
import os
import select
import stat
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from gearpool.settings import LogSettings

FIELDS = ("function", "handle", "unique", "server", "attempt", "duration_s", "outcome")
"""The fields that come first, in this order, when they are given."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ORDINARY = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}
_PLAIN = "\x1b[0m"
_EVENT = "gearpool_event"
_EXTRA = "gearpool_fields"

FULL_MS = 1000
"""How long a line waits for room in a pipe that is full; the lines behind it do not wait."""

Formatter = Callable[[Mapping[str, Any]], str]


def configure(settings: LogSettings, stream: IO[Any] | None = None) -> None:
    """Send everything that is logged in this process to ``stream`` (default stderr), replacing what was set up before.

    ``format: auto`` is text when the stream is a terminal and json otherwise; text has colours only on a terminal and
    without NO_COLOR in the environment (https://no-color.org).
    """
    out = sys.stderr if stream is None else stream
    terminal = False
    with contextlib.suppress(Exception):
        terminal = bool(out.isatty())
    kind = settings.format
    if kind == "auto":
        kind = "text" if terminal else "json"
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if isinstance(handler, LineHandler):
            handler.close()
    root.addHandler(LineHandler(out, formatter(kind, colour=terminal and not os.environ.get("NO_COLOR"))))
    set_level(settings.level)


def set_level(level: str) -> None:
    """Log ``level`` (debug, info, warning, error) and above from now on. ValueError for another word."""
    try:
        logging.getLogger().setLevel(_LEVELS[level])
    except KeyError:
        raise ValueError(f"unknown log level {level!r}; one of {', '.join(_LEVELS)}") from None


def emit(logger: logging.Logger, level: int, event: str, message: str = "", /, **fields: Any) -> None:
    r"""Log one event: its dotted name such as ``job.done``, a sentence for people, and fields for machines.

    Fields that are None are left out; bytes are decoded, with ``\xNN`` for what is not UTF-8. ``exc_info`` (an
    exception, or True for the one being handled) becomes the field ``traceback``. Never raises.
    """
    try:
        if not logger.isEnabledFor(level):
            return
        exc_info = fields.pop("exc_info", None)
        logger.log(level, "%s", message, exc_info=exc_info, extra={_EVENT: event, _EXTRA: fields})
    except Exception as error:  # noqa: BLE001 - the law of this module
        _report(error)


class LineHandler(logging.Handler):
    """Writes each record as one line with one ``write``."""

    def __init__(self, stream: IO[Any], form: Formatter) -> None:
        super().__init__()
        self._stream = stream
        self._form = form
        self._given = _descriptor(stream)
        self._own = _without_blocking(self._given)
        self._fd = self._given if self._own is None else self._own
        self._dropped = 0
        self._torn = False

    def close(self) -> None:
        """Give back what was opened; what is still logged goes to the stream as it was given."""
        own, self._own, self._fd = self._own, None, self._given
        if own is not None:
            os.close(own)
        super().close()

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """No lock: one write a line needs none, and an interrupt could leave it held."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record unless a filter refuses it; without the lock that `logging.Handler` takes."""
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Format and write; what goes wrong is told on stderr at most."""
        try:
            line = self._form(as_fields(record)) + "\n"
            if self._fd is None:
                self._stream.write(line)
                self._stream.flush()
            else:
                self._write(self._fd, line.encode("utf-8", "backslashreplace"))
        except Exception as error:  # noqa: BLE001 - the law of this module
            _report(error)

    def _write(self, fd: int, line: bytes) -> None:
        if self._dropped:
            line = b"\n" * self._torn + self._notice() + line
        view = memoryview(line)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                # Full. Wait a little, but once only: whoever logs a thousand lines must not wait a thousand times.
                poller = _poll()
                poller.register(fd, select.POLLOUT)
                if self._dropped or not poller.poll(FULL_MS):
                    self._torn = self._torn or len(view) < len(line)
                    self._dropped += 1
                    return
        self._dropped, self._torn = 0, False

    def _notice(self) -> bytes:
        text = f"{self._dropped} lines were dropped: nobody read the log"
        record = logging.LogRecord("gearpool", logging.WARNING, "", 0, text, None, None)
        setattr(record, _EVENT, "log.dropped")
        setattr(record, _EXTRA, {"lines": self._dropped})
        return (self._form(as_fields(record)) + "\n").encode("utf-8", "backslashreplace")


def as_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says: ts, level, event, message, then the known fields in their order, the others, and pid.

    A record that was not made by `emit` (a handler's ``job.log``, a library) is the event ``log``, with what its
    ``extra`` held as fields and its ``logger``.
    """
    own = record.__dict__
    event = own.get(_EVENT)
    given: dict[str, Any]
    if event is None:
        event = "log"
        given = {name: value for name, value in own.items() if name not in _ORDINARY}
        given["logger"] = record.name
    else:
        given = own[_EXTRA]
    line: dict[str, Any] = {"ts": _timestamp(record.created), "level": record.levelname.lower(), "event": event}
    message = _message(record)
    if message:
        line["message"] = message
    for name in FIELDS:
        if given.get(name) is not None:
            line[name] = _value(given[name])
    for name, value in given.items():
        if value is not None and name not in line:
            line[name] = _value(value)
    if record.exc_info:
        line["traceback"] = _value("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    elif record.exc_text:
        line["traceback"] = _value(record.exc_text)
    line.setdefault("pid", record.process)
    return line


def formatter(kind: str, *, colour: bool = False) -> Formatter:
    """The function that turns fields into one line: ``text``, ``json`` or ``logfmt``."""
    if kind == "json":
        return _json
    if kind == "logfmt":
        return lambda line: " ".join(f"{name}={_quoted(value)}" for name, value in line.items())
    return lambda line: _text(line, colour)


def _json(line: Mapping[str, Any]) -> str:
    # json.dumps leaves these as they are, but to some readers they end a line
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str).translate(_LINE_ENDS)


_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x7F, 0x85, 0x2028, 0x2029)}


def _text(line: Mapping[str, Any], colour: bool) -> str:
    level = line["level"]
    moment = dt.datetime.fromisoformat(line["ts"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    head = f"{moment} {level.upper():<7} {visible(str(line['event']))}"
    paint = _COLOURS.get(level) if colour else None
    if paint:
        head = f"{paint}{head}{_PLAIN}"
    parts = [head]
    if "message" in line:
        parts.append(visible(str(line["message"])))
    parts += [f"{name}={_quoted(value)}" for name, value in line.items() if name not in _HEAD]
    return " ".join(parts)


_HEAD = frozenset({"ts", "level", "event", "message"})


def _quoted(value: Any) -> str:
    """As logfmt wants it: bare if it is one plain word, else in double quotes with escapes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    word = value if isinstance(value, str) else _compact(value)
    if word and word.isprintable() and not any(character in word for character in ' "=\\'):
        return word
    return '"' + visible(word.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _compact(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return str(value)


def visible(string: str) -> str:
    """Line breaks and control characters as escapes: a payload cannot forge a line or drive a terminal."""
    if string.isprintable():
        return string
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in string
    )


def _value(value: Any) -> Any:
    """Something json, text and logfmt can all show."""
    if isinstance(value, str):
        return _safe(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {_safe(str(name)): _value(item) for name, item in value.items()}
    if isinstance(value, Iterable):
        return [_value(item) for item in value]
    return _safe(str(value))


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
        return _safe(record.getMessage())
    except Exception:  # noqa: BLE001 - the caller's arguments do not fit its format
        return _safe(f"{record.msg} {record.args!r}")


def _timestamp(created: float) -> str:
    moment = dt.datetime.fromtimestamp(created, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _descriptor(stream: IO[Any]) -> int | None:
    try:
        descriptor = stream.fileno()
        stream.flush()
    except Exception:  # noqa: BLE001 - io.StringIO and test doubles have none
        return None
    return descriptor


_poll = select.poll
"""Taken when this module is loaded: gevent's replacement cannot wait inside the hub."""


def _without_blocking(fd: int | None) -> int | None:
    """A descriptor of the same pipe whose writes never wait, None if ``fd`` is no pipe or may not be opened again.

    Opened again, because the flag on ``fd`` itself would hold for everybody who shares it, our parent's shell included.
    """
    with contextlib.suppress(OSError):
        if fd is not None and stat.S_ISFIFO(os.fstat(fd).st_mode):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return None


def _report(error: Exception) -> None:
    with contextlib.suppress(Exception):
        os.write(2, f"gearpool: cannot log: {error!r}\n".encode("utf-8", "backslashreplace"))
