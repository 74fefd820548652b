"""The file of dead letters: a JSON line each, appended by several processes at once. Floor 1; stdlib only.

A line is one ``write`` to a descriptor opened for appending under an exclusive lock, then fsynced; a line cut short by a
full disk is removed again. The lock is waited for no longer than `LOCK_S`. The file is opened again for each letter, so it
may be renamed at any time (logrotate).
Fields: payload (base64), function, unique, handle, server, attempts, error, traceback, time (seconds since 1970), id.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LOCK_S = 5.0
"""How long to wait for a file that another process has locked. DeadLetters and ``gearpool dead`` take milliseconds."""

_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter: what is needed to inspect a given-up job and to submit it again."""

    time: float
    function: str
    unique: str
    handle: str
    server: str
    attempts: int
    error: str
    traceback: str
    payload: bytes

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name this letter to `gearpool dead`."""
        text = f"{self.server}\0{self.handle}\0{self.function}\0{self.unique}\0{self.time!r}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def line(self) -> bytes:
        """The letter as its line, with the line end."""
        fields = {
            "id": self.id,
            **dataclasses.asdict(self),
            "payload": base64.b64encode(self.payload).decode(),
        }
        # ensure_ascii: names that are not UTF-8 are kept as escaped surrogates and come back as they were.
        return json.dumps(fields).encode() + b"\n"


class BadLetter(ValueError):
    """A line that is no dead letter. ``number`` is the line's number, from 1."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


def append(path: Path, letter: Letter) -> None:
    """Append and fsync one letter. Blocks its thread, for `LOCK_S` if need be.

    Raises:
        OSError: it is not safely written, and nothing of it is left in the file; ETIMEDOUT: another process has it locked.
    """
    line = letter.line()
    with _locked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as fd:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            # Another process left an unfinished line: ours must not become part of it.
            line = b"\n" + line
        try:
            if os.write(fd, line) != len(line):
                raise OSError(errno.ENOSPC, "No space left on device")
            os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)
            raise


def read(path: Path) -> Iterator[tuple[int, Letter | BadLetter]]:
    """Line number and letter, or what is wrong with that line.

    Raises:
        OSError: the file cannot be read.
    """
    for number, _, letter in _lines(path):
        yield number, letter


def _lines(path: Path) -> Iterator[tuple[int, bytes, Letter | BadLetter]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line, parse(number, line)


def remove(path: Path, drop: Callable[[Letter], bool]) -> list[Letter]:
    """Take the letters for which ``drop`` is true out of the file; lines that are no letters stay. Returns them.

    The file is replaced in one step, under the lock under which letters are appended.

    Raises:
        OSError: it could not be done; ETIMEDOUT: another process has the file locked.
    """
    dropped: list[Letter] = []
    with _locked(path, os.O_RDWR):
        kept: list[bytes] = []
        for _, line, letter in _lines(path):
            if isinstance(letter, Letter) and drop(letter):
                dropped.append(letter)
            else:
                kept.append(line)
        if dropped:
            fd, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
            try:
                with os.fdopen(fd, "wb") as out:
                    out.writelines(kept)
                    out.flush()
                    os.fsync(out.fileno())
                    os.fchmod(out.fileno(), path.stat().st_mode & 0o777)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
    return dropped


@contextlib.contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    """The file opened and locked; opened again if it was replaced while we waited for the lock."""
    end = time.monotonic() + LOCK_S
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o640)
        try:
            if _lock(fd) and _is_still(path, fd):
                yield fd
                return
        finally:
            os.close(fd)
        if time.monotonic() > end:
            raise OSError(errno.ETIMEDOUT, f"another process has had it locked for {LOCK_S:g} s", str(path))
        time.sleep(_LOOK_AGAIN_S)


def _lock(fd: int) -> bool:
    """Lock it if it is free; closing the descriptor releases the lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, fd: int) -> bool:
    """Whether ``path`` still names the open file; renamed away meanwhile, it is the archive's."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def parse(number: int, line: bytes) -> Letter | BadLetter:
    """The letter in a line of the file, or what is wrong with it."""
    try:
        fields = json.loads(line)
        if not isinstance(fields, dict):
            raise TypeError("expected a JSON object")
        when = float(fields.get("time", 0.0))
        if not math.isfinite(when):
            raise ValueError(f"the time is {when}")
        return Letter(
            payload=base64.b64decode(fields["payload"], validate=True),
            function=str(fields["function"]),
            attempts=int(fields.get("attempts", 0)),
            time=when,
            **{name: str(fields.get(name, "")) for name in ("unique", "handle", "server", "error", "traceback")},
        )
    except KeyError as error:
        return BadLetter(number, f"not a dead letter: without {error.args[0]}")
    except (ValueError, TypeError, OverflowError, AttributeError, binascii.Error) as error:
        return BadLetter(number, f"not a dead letter: {error}")
