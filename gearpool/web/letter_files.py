"""Reads the files of dead letters that the configuration names, without their payloads. Floor 3; blocks its thread.

A file may be large: the newest letters are read from its end, and the counts only read what was appended.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gearpool.dead_letter_file import Letter, parse
from gearpool.settings import Settings

NEWEST = 500
"""Letters of a file that are listed."""
MAX_READ = 32 * 1024 * 1024
"""Bytes at the end of a file in which they are looked for."""
MAX_TEXT = 8192
"""Characters of an error or a traceback."""
_PIECE = 1 << 20

Row = dict[str, Any]


def paths_of(settings: Settings) -> list[str]:
    """The files of dead letters that the functions have, each once."""
    found = (function.dead_letter for function in settings.functions)
    files = (letters.file for letters in found if letters is not None and letters.file is not None)
    return list(dict.fromkeys(str(Path(settings.base, file)) for file in files))


def listing(path: str) -> Row:
    """The newest letters of a file, the last one first."""
    row: Row = {"file": path, "error": None, "size_bytes": 0, "letters": [], "more": 0}
    try:
        with Path(path).open("rb") as file:
            row["size_bytes"] = os.fstat(file.fileno()).st_size
            lines, row["more"] = _newest_lines(file, row["size_bytes"])
    except FileNotFoundError:
        pass  # it is created with the first letter
    except OSError as error:
        row["error"] = error.strerror or str(error)
    else:
        letters = [parse(0, line) for line in reversed(lines)]
        row["letters"] = [_shown(letter) for letter in letters if isinstance(letter, Letter)]
    return row


def _newest_lines(file: Any, size: int) -> tuple[list[bytes], int]:
    """The last `NEWEST` lines, and how many there are before them."""
    begin = max(0, size - MAX_READ)
    before = 0
    while file.tell() < begin:
        before += file.read(min(_PIECE, begin - file.tell())).count(b"\n")
    if begin:
        file.readline()  # the rest of a line that begins before
        before += 1
    lines = [line for line in file.read(size - file.tell()).split(b"\n") if line.strip()]
    return lines[-NEWEST:], before + max(0, len(lines) - NEWEST)


def _shown(letter: Letter) -> Row:
    return {
        "id": letter.id,
        "function": letter.function,
        "unique": letter.unique,
        "handle": letter.handle,
        "attempts": letter.attempts,
        "error": letter.error[:MAX_TEXT],
        "time": letter.time,
        "traceback": letter.traceback[-MAX_TEXT:],
    }


@dataclass
class _Counted:
    """How far a file was counted."""

    inode: int = -1
    offset: int = 0
    functions: Counter[str] = field(default_factory=Counter)


class LetterCounts:
    """How many letters each file has of each function."""

    def __init__(self) -> None:
        self._files: dict[str, _Counted] = {}

    def count(self, path: str) -> Row:
        """The counts of a file as it is now."""
        row: Row = {"file": path, "error": None, "size_bytes": 0, "functions": {}}
        counted = self._files.setdefault(path, _Counted())
        try:
            with Path(path).open("rb") as file:
                about = os.fstat(file.fileno())
                row["size_bytes"] = about.st_size
                if about.st_ino != counted.inode or about.st_size < counted.offset:
                    counted = self._files[path] = _Counted(about.st_ino)
                file.seek(counted.offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # it is being written
                    counted.offset += len(line)
                    letter = parse(0, line)
                    if isinstance(letter, Letter):
                        counted.functions[letter.function] += 1
        except FileNotFoundError:
            return row
        except OSError as error:
            row["error"] = error.strerror or str(error)
        row["functions"] = dict(counted.functions)
        return row
