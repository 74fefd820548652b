"""Logging: one event a line, as text, json or logfmt, for the supervisor and every child alike. Floor 2; stdlib only.

A line is one ``write`` (so several processes may share one stderr), and logging never raises: a full disk or a hostile
payload must not fail a job. A pipe that is not read does not block for long either: lines are dropped, and their number is
logged as soon as there is room. `gearpool.log_lines` defines what a line may hold.

In gearpool's own processes, which call `configure`, events and ``job.log`` do not depend on the `logging` module's tree:
whatever an application does to it (handlers, levels, disabled loggers, filters, factories, shutdown), they are written
whole. What the application and its libraries log goes through that tree, and comes here as long as they leave our handler
on the root logger. In an application's process (client and worker library) events go through the tree only, as sentences
that name their fields.

Nothing here takes a lock, so a `JobTimeout` raised in the middle of a log call leaves no lock taken.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
import sys
from collections.abc import Iterable
from typing import IO, Any

from gearpool.jobs import Job
from gearpool.log_lines import EVENT, EXTRA, ORDINARY, SENTENCE, Formatter, as_fields, as_sentence, formatter, visible
from gearpool.settings import LogSettings

__all__ = ["Lines", "configure", "emit", "is_enabled", "set_level", "visible"]

FULL_MS = 1000
"""How long a line waits for room in a pipe that is full; the lines behind it do not wait."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _OwnLogger(logging.Logger):
    """A logger outside the tree: it has one handler, and nothing but `set_level` decides what it lets through."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Regardless of `logging.disable` and caches."""
        return level >= self.level


_events = _OwnLogger("gearpool")
_jobs = _OwnLogger("gearpool.job")


def configure(settings: LogSettings, stream: IO[Any] | None = None) -> None:
    """Send all events of this process to ``stream`` (default stderr), and what else is logged, too.

    The first call takes the root logger over; later ones leave alone what an application has made of it meanwhile.
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
    lines = Lines(out, formatter(kind, colour=terminal and not os.environ.get("NO_COLOR")))
    root = logging.getLogger()
    before = list(_events.handlers)
    ours = [handler for handler in root.handlers if isinstance(handler, LineHandler)]
    if not before:
        root.handlers[:] = [LineHandler(lines)]
    elif ours:
        root.handlers[:] = [*(handler for handler in root.handlers if handler not in ours), LineHandler(lines)]
    # Not the root logger's: what an application puts on that one, a filter say, is not for events.
    _events.handlers[:] = _jobs.handlers[:] = [LineHandler(lines)]
    Job.logger = _jobs
    _close(before)
    set_level(settings.level)


def unconfigure() -> None:
    """Undo `configure`; for tests."""
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, LineHandler)]
    _close(_events.handlers)
    _events.handlers.clear()
    _jobs.handlers.clear()
    Job.logger = logging.getLogger(_jobs.name)


def _close(handlers: Iterable[logging.Handler]) -> None:
    for handler in handlers:
        if isinstance(handler, LineHandler):
            handler.lines.close()


def set_level(level: str) -> None:
    """Log ``level`` (debug, info, warning, error) and above from now on. ValueError for another word."""
    try:
        number = _LEVELS[level]
    except KeyError:
        raise ValueError(f"unknown log level {level!r}; one of {', '.join(_LEVELS)}") from None
    _events.level = _jobs.level = number
    logging.getLogger().setLevel(number)


def is_enabled(logger: logging.Logger, level: int) -> bool:
    """Whether `emit` would log: ask before what takes long to prepare."""
    return (_events if _events.handlers else logger).isEnabledFor(level)


def emit(logger: logging.Logger, level: int, event: str, message: str = "", /, **fields: Any) -> None:
    r"""Log one event: its dotted name such as ``job.done``, a sentence for people, and fields for machines.

    Fields that are None are left out; bytes are decoded, with ``\xNN`` for what is not UTF-8. ``exc_info`` (an
    exception, or True for the one being handled) becomes the field ``traceback``. Never raises.
    """
    try:
        if not is_enabled(logger, level):
            return
        given = fields.pop("exc_info", None)
        error = sys.exc_info()[1] if given is True else given
        exc_info = (type(error), error, error.__traceback__) if isinstance(error, BaseException) else None
        extra = {EVENT: event, EXTRA: fields, SENTENCE: message}
        if _events.handlers:
            record = logging.LogRecord(logger.name, level, "", 0, message, None, exc_info)
            record.__dict__.update(extra)
            _events.handle(record)
            return
        attributes = {name: each for name, each in fields.items() if name not in ORDINARY}
        whole = _Sentence(event, message, fields)
        logger.log(level, "%s", whole, exc_info=exc_info, extra={"event": event, **attributes, **extra})
    except Exception as error:  # noqa: BLE001 - the law of this module
        _report(error)


class _Sentence:
    """An event as a record's only argument: it becomes text only if a handler formats the record."""

    def __init__(self, event: str, message: str, fields: dict[str, Any]) -> None:
        self._parts = event, message, fields

    def __str__(self) -> str:
        return as_sentence(*self._parts)


class LineHandler(logging.Handler):
    """Hands records to `Lines`. Closing it changes nothing: `logging.shutdown` and ``dictConfig`` close every handler."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.lines = lines

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
        """Write it."""
        self.lines.write(record)


class Lines:
    """Where lines go, each with one ``write``."""

    def __init__(self, stream: IO[Any], form: Formatter) -> None:
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

    def write(self, record: logging.LogRecord) -> None:
        """Format and write; an error is reported on stderr at most."""
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
                # Full. Wait a little, but only once: logging a thousand lines must not wait a thousand times.
                poller = _poll()
                poller.register(fd, select.POLLOUT)
                if self._dropped or not poller.poll(FULL_MS):
                    self._torn = self._torn or len(view) < len(line)
                    self._dropped += 1
                    return
        self._dropped, self._torn = 0, False

    def _notice(self) -> bytes:
        text = f"{self._dropped} lines were dropped because the log was not read"
        record = logging.LogRecord("gearpool", logging.WARNING, "", 0, text, None, None)
        record.__dict__.update({EVENT: "log.dropped", EXTRA: {"lines": self._dropped}, SENTENCE: text})
        return (self._form(as_fields(record)) + "\n").encode("utf-8", "backslashreplace")


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

    Opened again, because the flag on ``fd`` itself would apply to all processes that share it, the parent's shell included.
    """
    with contextlib.suppress(OSError):
        if fd is not None and stat.S_ISFIFO(os.fstat(fd).st_mode):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return None


def _report(error: Exception) -> None:
    with contextlib.suppress(Exception):
        os.write(2, f"gearpool: cannot log: {error!r}\n".encode("utf-8", "backslashreplace"))
