"""Memory shared with a child into which its faulthandler writes the stacks, at SIGUSR1. Floor 4.

Law: it is read after the child was signalled and given a moment, and answers even if the child hangs in C or is dead.
"""

from __future__ import annotations

import os
import re

VARIABLE = "GEARPOOL_STACKS_FD"
"""Environment variable: the descriptor, for the child."""
DUMP_S = 0.1
"""What a child is given to write its stacks."""

_SMALL = 1 << 20
_IMPORTING = re.compile(r'^ *File "([^"\n]+)", line (\d+),? in <module>$', re.MULTILINE)
_STARTS_US = re.compile(r"(^|/)gearpool/children/[a-z]+\.py$")


class Stacks:
    """The memory of one child. An OSError means that the system has no more."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("gearpool-stacks", os.MFD_CLOEXEC)

    def take(self) -> str:
        """What was written since the last call, empty if nothing was."""
        size = os.fstat(self.fd).st_size
        text = os.pread(self.fd, min(size, _SMALL), 0)
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        return text.decode("utf-8", "backslashreplace").strip("\0\n")

    def close(self) -> None:
        """Give it back."""
        os.close(self.fd)


def importing_line(stacks: str) -> str | None:
    """``FILE:LINE`` of the innermost module that is being imported in ``stacks`` (innermost frame first), if one is."""
    for file, line in _IMPORTING.findall(stacks):
        if not _STARTS_US.search(file):
            return f"{file}:{line}"
    return None
