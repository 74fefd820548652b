"""Whether a handler is in the midst of an import, where nothing may be raised into it. Floor 3.

A module that is left half-way through its import is taken out of ``sys.modules``, but what it has done so far stays: what
it registered (prometheus_client's metrics, SQLAlchemy's tables, Django's models), and the modules that it had imported.
The next import runs it a second time, and that fails, in every later job of the process.

Law: looking changes nothing, and works for a greenlet that is suspended as for the code that a signal has interrupted.
"""

from __future__ import annotations

from types import FrameType

_MACHINERY = "<frozen importlib"
"""What the file names of Python's own import machinery begin with: ``importlib._bootstrap`` is compiled in."""


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
