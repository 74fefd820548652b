"""Ends a process that has run handlers' code. Floor 0; stdlib only.

It waits for no thread, since threads that handlers start may never end; but buffered output is flushed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn


def leave(code: int, *, exit_functions: bool = True) -> NoReturn:
    """End now with ``code``; ``exit_functions`` are those of `atexit`, which in a forked copy are the parent's."""
    if exit_functions:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
