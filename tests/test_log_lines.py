from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool.log_lines import MAX_FIELD, cut, described, value

Loop: list[Any] = []
Loop.append(Loop)


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "huge",
    [
        "x" * 100_000,
        "é" * 100_000,
        "\udcff" * 100_000,
        b"x" * 100_000,
        b"\xff" * 100_000,
        bytearray(100_000),
        ["x" * 1000] * 1000,
        {str(number): "x" * 1000 for number in range(1000)},
        {"x" * 100_000: 1},
        [[[["x"] * 500] * 500] * 500] * 500,
        list(range(1_000_000)),
        10**100_000,
    ],
    ids=lambda huge: type(huge).__name__,
)
def test_no_field_is_longer_than_8_kib_and_what_was_cut_is_said(huge: Any) -> None:
    shown = value(huge)
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode("utf-8")) <= MAX_FIELD
    assert "cut" in text or "0x" in text


@pytest.mark.parametrize("hostile", [Loop, Silent(), {Silent(): 1}, [Silent()]], ids=["loop", "repr", "key", "item"])
def test_a_value_that_cannot_be_shown_is_named(hostile: Any) -> None:
    assert "cannot be shown" in value(hostile)
    assert described(Silent()) == "<Silent>"


@given(st.text(), st.integers(0, 300), st.integers(64, 600))
def test_what_is_cut_keeps_to_the_limit_and_what_fits_is_left_alone(text: str, tail: int, limit: int) -> None:
    tail = min(tail, limit // 4)
    shown = cut(text, tail, limit=limit)
    if len(text.encode("utf-8")) <= limit:
        assert shown == text
    else:
        assert len(shown.encode("utf-8")) <= limit
        assert "cut" in shown
