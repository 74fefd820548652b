"""Detects whether a handler is importing a module: then no exception may be raised in it. Floor 3; pure.

A module whose import is interrupted is removed from ``sys.modules``, but its side effects stay: what it registered
(prometheus_client's metrics, SQLAlchemy's tables, Django's models), and the modules that it had imported. The next import
runs it a second time and fails, in every later job of the process.

This works both for a suspended greenlet and for the code that a signal has interrupted.
"""

from __future__ import annotations

from types import FrameType

_MACHINERY = "<frozen importlib"
"""Prefix of the file names of Python's import machinery (``importlib._bootstrap`` is compiled in)."""


def is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported in ``frame`` or in one of its callers.

    Args:
        frame: the innermost frame, as a signal handler gets it or as a suspended greenlet's ``gr_frame``.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith(_MACHINERY):
            return True
        frame = frame.f_back
    return False
