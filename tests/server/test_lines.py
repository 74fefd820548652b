"""Lines that wait to be served."""

from __future__ import annotations

import sys
from operator import length_hint

from gearpool.server.lines import LINE, Lines


def test_each_line_comes_without_its_end_in_order() -> None:
    lines = Lines(b"a\r\n\nlong\n")
    assert length_hint(lines) == 3
    assert list(lines) == [(LINE, [b"a\r"]), (LINE, [b""]), (LINE, [b"long"])]
    assert length_hint(lines) == 0
    assert list(lines) == []


def test_no_line_is_cut_out_before_its_turn() -> None:
    lines = Lines(b"\n" * 65536)
    assert next(lines) == (LINE, [b""])
    assert length_hint(lines) == 65535
    assert sum(sys.getsizeof(getattr(lines, name)) for name in Lines.__slots__) < 70_000


def test_what_is_cleared_does_not_come() -> None:
    lines = Lines(b"a\nb\nc\n")
    next(lines)
    lines.clear()
    assert length_hint(lines) == 0
    assert list(lines) == []


def test_nothing_is_no_line() -> None:
    assert list(Lines(b"")) == []
