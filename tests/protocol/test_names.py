from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool.errors import InvalidArgument
from gearpool.protocol.names import client_id, function_name, handle_name, text, unique_id


@pytest.mark.parametrize(
    ("check", "most"), [(function_name, 255), (handle_name, 63), (client_id, 127), (unique_id, 63)]
)
def test_a_name_may_be_as_long_as_gearmand_bears_and_no_longer(check: Callable[[str], bytes], most: int) -> None:
    assert check("x" * most) == b"x" * most
    with pytest.raises(InvalidArgument, match=str(most)):
        check("x" * (most + 1))


@pytest.mark.parametrize("name", ["dev\tfoo", "a b", " a", "a\t"])
def test_a_function_name_may_have_spaces_and_tabs_as_with_gearmand(name: str) -> None:
    assert function_name(name) == name.encode()


@pytest.mark.parametrize("bad", ["", "a\0b", "a\nb", "a\rb"])
def test_a_function_name_with_a_line_end_or_nul_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        function_name(bad)


@pytest.mark.parametrize("check", [handle_name, client_id])
@pytest.mark.parametrize("bad", ["", "a b", "a\0b", "a\tb", "a\nb", "a\rb"])
def test_a_name_with_a_separator_in_it_is_refused(check: Callable[[str], bytes], bad: str) -> None:
    with pytest.raises(InvalidArgument):
        check(bad)


@pytest.mark.parametrize("bad", ["-", "a\0b", "a\nb"])
def test_a_unique_id_that_gearmand_misunderstands_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        unique_id(bad)


def test_a_unique_id_may_be_empty_or_have_spaces() -> None:
    assert unique_id("") == b""
    assert unique_id("a b") == b"a b"


def test_something_else_than_text_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="int"):
        function_name(7)  # type: ignore[arg-type]


@given(st.binary(min_size=1, max_size=60).filter(lambda raw: not set(raw) & set(b"\0 \t\r\n")))
def test_bytes_that_are_not_utf8_come_back_as_they_were(raw: bytes) -> None:
    assert function_name(text(raw)) == raw
