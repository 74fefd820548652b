"""Tables for people: one line a row whatever a name holds, and a width that is kept."""

from __future__ import annotations

import pytest

from gearpool.cli.tables import brief, columns, cut, duration, screen_width, shorten, shown, table


def test_words_stand_to_the_left_and_numbers_to_the_right() -> None:
    assert table(("NAME", "N"), [("a", 1), ("bcdef", 100)]) == "NAME     N\na        1\nbcdef  100"


def test_the_columns_of_words_may_be_counted_instead() -> None:
    assert table(("NAME", "OF"), [("a", "1/2"), ("b", "10/20")], left=1) == "NAME     OF\na       1/2\nb     10/20"


def test_the_width_is_that_of_the_terminal_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen_width() is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "77")
    assert screen_width() == 77


def test_a_name_with_control_characters_is_one_row_and_drives_no_terminal() -> None:
    lines = table(("NAME", "N"), [("re\nsize\x1b[2J\x9b\u202e", 1), ("plain", 2)]).split("\n")
    assert [line.split() for line in lines] == [
        ["NAME", "N"], [r"re\nsize\x1b[2J\x9b\u202e", "1"], ["plain", "2"],
    ]  # fmt: skip


def test_bytes_that_are_no_text_stay_what_they_are() -> None:
    assert shown("\udcff\n") == "\udcff\\n"


def test_a_table_that_must_fit_shortens_its_names_and_no_number() -> None:
    text = table(("FUNCTION", "COUNT"), [("a" * 30 + "end", 123456)], width=20)
    assert text.split("\n")[1] == "aaaaa..aaend  123456"
    assert all(len(line) <= 20 for line in text.split("\n"))


def test_a_table_too_narrow_for_its_numbers_keeps_them() -> None:
    assert "123456" in table(("FUNCTION", "COUNT"), [("name", 123456)], width=5)


@pytest.mark.parametrize(("text", "wide"), [("abc", 3), ("日本", 4), ("é", 1), ("e\u0301", 1)])
def test_a_text_takes_the_columns_that_a_terminal_gives_it(text: str, wide: int) -> None:
    assert columns(text) == wide


@pytest.mark.parametrize("width", range(12))
def test_what_is_shortened_or_cut_fits(width: int) -> None:
    for text in ("abcdefghijkl", "日本語日本語"):
        assert columns(shorten(text, width)) <= width
        assert columns(cut(text, width)) <= width


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0.4ms"),
        (0.012, "12ms"),
        (0.0099, "9.9ms"),
        (0.001, "1ms"),
        (0.0025, "2.5ms"),
        (0.9999, "1s"),
        (3.44, "3.4s"),
        (45, "45s"),
        (720, "12m"),
        (10800, "3h"),
    ],
)
def test_a_time_in_a_table_is_brief(seconds: float, text: str) -> None:
    assert brief(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.2s"), (125, "2m 5s"), (3 * 86400 + 4 * 3600, "3d 4h")])
def test_a_time_in_a_line_has_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
