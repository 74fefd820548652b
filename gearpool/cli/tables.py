"""Tables and durations for people. Floor 5; pure, loads nothing that takes time to import.

Whatever a name holds, a row is one line and sends no control character to the terminal; a table that must fit shortens
names, never numbers.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

_GAP = 2
_SHORTEST = 8
"""To no fewer columns is a name shortened."""
_CUT = ".."


def table(
    head: Sequence[str], rows: Sequence[Sequence[object]], *, left: int | None = None, width: int | None = None
) -> str:
    """Aligned columns.

    Args:
        head: the columns' titles.
        rows: their cells; anything that `str` makes a text of.
        left: how many columns from the left are words; without it, those in which not every cell is a number. Numbers
            stand to the right.
        width: the most columns of the screen a line may take; names are shortened in the middle. None: no limit.
    """
    cells = [[shown(str(cell)) for cell in row] for row in rows]
    words = [
        column < left if left is not None else not (rows and all(isinstance(row[column], (int, float)) for row in rows))
        for column in range(len(head))
    ]
    widths = [max(columns(row[at]) for row in [list(head), *cells]) for at in range(len(head))]
    if width is not None:
        _narrow(widths, words, head, width)

    def line(row: Sequence[str]) -> str:
        padded = (
            pad(shorten(cell, room), room, right=not word) for cell, room, word in zip(row, widths, words, strict=True)
        )
        return (" " * _GAP).join(padded).rstrip()

    return "\n".join([line(head), *(line(row) for row in cells)])


def _narrow(widths: list[int], words: Sequence[bool], head: Sequence[str], width: int) -> None:
    """Take what is too much from the widest column of words, again and again."""
    least = [max(_SHORTEST, len(title)) if word else 10**6 for word, title in zip(words, head, strict=True)]
    over = sum(widths) + _GAP * (len(widths) - 1) - width
    while over > 0:
        wide = [at for at in range(len(widths)) if widths[at] > least[at]]
        if not wide:
            return
        widest = max(wide, key=lambda at: widths[at])
        widths[widest] -= 1
        over -= 1


def screen_width() -> int | None:
    """Columns of the terminal that the output goes to; None if it goes elsewhere, where nothing need be shortened."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def shown(text: str) -> str:
    """The text with control characters, line ends among them, as escapes: it forges no row and drives no terminal.

    Lone surrogates stay: they stand for bytes that are no UTF-8, and `gearpool.cli.streams` writes them as such.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or "\udc80" <= each <= "\udcff" else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def columns(text: str) -> int:
    """How many columns of a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def pad(text: str, width: int, *, right: bool = False) -> str:
    """With spaces up to ``width`` columns, to the left or to the right of it."""
    space = " " * (width - columns(text))
    return space + text if right else text + space


def shorten(text: str, width: int) -> str:
    """At most ``width`` columns: the middle is left out, since names differ at their ends."""
    if columns(text) <= width:
        return text
    keep = max(0, width - len(_CUT))
    head = _fitting(text, keep - keep // 2)
    tail = _fitting(text[::-1], keep // 2)[::-1]
    return head + _CUT[:width] + tail


def cut(text: str, width: int) -> str:
    """At most ``width`` columns: the end is left out."""
    return text if columns(text) <= width else _fitting(text, max(0, width - len(_CUT))) + _CUT[:width]


def _fitting(text: str, width: int) -> str:
    end = 0
    while end < len(text) and columns(text[: end + 1]) <= width:
        end += 1
    return text[:end]


def duration(seconds: float) -> str:
    """Such as ``3d 4h``, ``2m 5s``, ``0.3s``."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"


def brief(seconds: float) -> str:
    """In at most five characters: ``0.4ms``, ``12ms``, ``3.4s``, ``45s``, ``12m``, ``3h``."""
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f}".removesuffix(".0") + "ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    if seconds < 99.5:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 5970 else f"{seconds / 3600:.0f}h"


def counted(count: int, thing: str) -> str:
    """Such as ``1 job`` and ``2 jobs``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Bytes as MiB."""
    return f"{count / 2**20:.0f} MiB"
