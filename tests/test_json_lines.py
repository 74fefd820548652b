from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool import json_lines

VALUES = st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text())))


@given(st.lists(VALUES), st.integers(1, 50))
def test_objects_come_out_as_they_went_in_however_the_bytes_are_cut(values: list[dict[str, object]], size: int) -> None:
    data = b"".join(map(json_lines.encode, values))
    decoder = json_lines.Decoder()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert [value for piece in pieces for value in decoder.feed(piece)] == values


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_line_that_is_no_object_comes_as_its_bytes(line: bytes) -> None:
    assert list(json_lines.Decoder().feed(line + b"\n{}\n")) == [line, {}]


def test_a_line_without_end_is_refused_after_the_complete_ones() -> None:
    decoder = json_lines.Decoder()
    values = decoder.feed(b"{}\n" + b"x" * (json_lines.MAX_LINE + 1))
    assert next(values) == {}
    with pytest.raises(json_lines.LineTooLongError):
        next(values)


def test_what_json_does_not_know_is_sent_as_text() -> None:
    assert json_lines.encode({"path": ValueError("bad")}) == b'{"path":"bad"}\n'
