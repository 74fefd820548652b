"""Logs uncaught exceptions as events: in threads, in greenlets, in finalizers, at the end of the process. Floor 2.

Without this the interpreter and gevent print tracebacks over many lines between the log's own. An application that sets
its own hooks later (as Sentry does) chains to these.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, TextIO

from gearpool import logs
from gearpool.log_lines import described
from gearpool.policy import explain

log = logging.getLogger("gearpool.uncaught")


def install() -> None:
    """Log uncaught exceptions and warnings of this process as events."""
    sys.excepthook = _of_the_process
    threading.excepthook = _of_a_thread
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warning


def install_in_hubs(hub_class: Any) -> None:
    """Log what ends greenlets as events, in every thread. Its argument is `gevent.hub.Hub`, which this floor does not load.

    ``print_exception`` is the method that gevent's hubs have for it.
    """
    hub_class.print_exception = _of_a_greenlet


def _of_the_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _tell("uncaught", "an exception ended the process", _with(error, kind, trace))


def _of_a_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is SystemExit:
        return
    name = found.thread.name if found.thread is not None else None
    error = _with(found.exc_value, found.exc_type, found.exc_traceback)
    _tell("thread.exception", "an exception ended a thread", error, thread=name)


def _of_a_greenlet(_hub: Any, context: Any, t: Any, v: Any, tb: Any) -> None:
    _tell("greenlet.exception", "an exception ended a greenlet", _with(v, t, tb), greenlet=_named(context))


def _unraisable(found: Any) -> None:
    error = _with(found.exc_value, found.exc_type, found.exc_traceback)
    _tell("unraisable", found.err_msg or "an exception was ignored", error, object=_named(found.object))


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,  # noqa: ARG001 - the source line: the log has the file's name
) -> None:
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno))
        return
    place = f"{filename}:{lineno}"
    logs.emit(log, logging.WARNING, "python.warning", str(message), category=category.__name__, place=place)


def _tell(event: str, message: str, error: BaseException | None, **fields: Any) -> None:
    logs.emit(log, logging.ERROR, event, message, error=explain(error) or None, **fields, exc_info=error)


def _named(thing: Any) -> str | None:
    return None if thing is None else described(thing)


def _with(error: Any, kind: Any, trace: TracebackType | None) -> BaseException | None:
    """The exception itself: gevent and old C code hand over classes, strings and loose tracebacks, too."""
    if isinstance(error, BaseException):
        found = error
    elif isinstance(kind, type) and issubclass(kind, BaseException):
        found = kind() if error is None else kind(error)
    else:
        return None
    return found if found.__traceback__ is not None or trace is None else found.with_traceback(trace)
