from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gearpool.config.kinds import (
    DURATION,
    DURATION_OR_ZERO,
    LISTEN,
    PATH,
    PERCENT,
    RATE,
    SIZE,
    Count,
    Flag,
    Kind,
    Number,
    Unexpected,
)
from gearpool.config.nodes import Item, Place


def item(written: str) -> Item:
    """What YAML makes of it, as a file would have it."""
    node = yaml.compose(written, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.ScalarNode)
    return Item(Place("f", 1, 1), node.tag.rpartition(":")[2], node.value, not node.style)


def value(kind: Kind, written: str) -> Any:
    return kind.read(item(written))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1ms", 0.001), ("500ms", 0.5), ("0.5s", 0.5), ("1.5s", 1.5), ("30s", 30), ("007s", 7), ("2m", 120), ("1h", 3600),
        ("1.5h", 5400), ("7d", 604800), ("'30s'", 30), ("0.000001s", 1e-6), ("999999999999s", 999999999999),
    ],
)  # fmt: skip
def test_a_duration_is_seconds(written: str, seconds: float) -> None:
    assert value(DURATION, written) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "written",
    [
        "30", "30.5", "'30'", "s", "-1s", "+1s", "1S", "1 s", "1sec", "1min", "1w", "1y", "1m30s", "1:30", "1e3s", "1_000s",
        ".5s", "1.s", "1.5.5s", "1,5s", "1000000000000s", "1.1234567s", "infs", "nans", "0x1s", "'1s\n\n '", '"1s\\n"', "٣s",
        "true", "null", "~", "''", "30ss", "30ms s", "1μs",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(Unexpected, match=r"^expected a duration such as"):
        value(DURATION_OR_ZERO, written)


@pytest.mark.parametrize("written", ["0s", "0ms", "0.0s", "00.000s", "0d"])
def test_no_time_at_all_is_a_duration_only_where_that_means_something(written: str) -> None:
    assert value(DURATION_OR_ZERO, written) == 0
    with pytest.raises(Unexpected):
        value(DURATION, written)


@pytest.mark.parametrize(
    ("written", "size"),
    [("1B", 1), ("100B", 100), ("1KiB", 1024), ("512MiB", 2**29), ("1.5GiB", 3 * 2**29), ("0.5MiB", 2**19)],
)
def test_a_size_is_bytes(written: str, size: int) -> None:
    assert value(SIZE, written) == size


@pytest.mark.parametrize(
    "written", ["512", "512M", "512MB", "512mib", "1TiB", "1 GiB", "0B", "0MiB", "-1B", "1e9B", "KiB"]
)
def test_what_is_no_size_is_refused(written: str) -> None:
    with pytest.raises(Unexpected, match=r'^expected a size such as "512MiB"'):
        value(SIZE, written)


@pytest.mark.parametrize(
    ("written", "rate"),
    [("50/s", 50), ("0.5/s", 0.5), ("600/m", 10), ("1/m", 1 / 60), ("3600/h", 1), ("1/h", 1 / 3600)],
)
def test_a_rate_is_jobs_a_second(written: str, rate: float) -> None:
    assert value(RATE, written) == pytest.approx(rate)


@pytest.mark.parametrize(
    "written", ["50", "0/s", "0.0/m", "50/", "/s", "50 / s", "50/d", "50/sec", "-1/s", "50ps", "1/2s"]
)
def test_what_is_no_rate_is_refused(written: str) -> None:
    with pytest.raises(Unexpected, match=r'^expected a rate such as "50/s"'):
        value(RATE, written)


@pytest.mark.parametrize(
    ("written", "share"), [("0%", 0), ("100%", 1), ("20%", 0.2), ("7%", 0.07), ("99.5%", 0.995), ("0.5%", 0.005)]
)
def test_a_percentage_is_a_share(written: str, share: float) -> None:
    assert value(PERCENT, written) == pytest.approx(share)


@pytest.mark.parametrize("written", ["20", "0.2", "101%", "100.1%", "-1%", "1 %", "'%'", "20%%", "020%"])
def test_what_is_no_percentage_is_refused(written: str) -> None:
    with pytest.raises(Unexpected, match=r'^expected a percentage such as "20%"'):
        value(PERCENT, written)


@pytest.mark.parametrize("written", ["1", "10", "999", "1000"])
def test_a_count_is_a_whole_number_in_its_bounds(written: str) -> None:
    assert value(Count(1, 1000), written) == int(written)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("0", "0"), ("1001", "1001"), ("-1", "-1"), ("+1", "+1"), ("1.0", "1.0"), ("1e2", "1e2"), ("'5'", '"5"'),
        ("010", "010, which YAML reads as 8"), ("0x10", "0x10, which YAML reads as 16"), ("1_000", "1_000"),
        ("0b11", "0b11, which YAML reads as 3"), ("1:30", "1:30, which YAML reads as 90"),
        ("yes", "yes, which YAML reads as true"), ("~", "nothing"), ("auto", "auto"), ("9" * 70, "9" * 57 + "..."),
        ("2030-01-01", "2030-01-01"),
    ],
)  # fmt: skip
def test_what_is_no_count_is_named_with_what_yaml_made_of_it(written: str, found: str) -> None:
    with pytest.raises(Unexpected) as raised:
        value(Count(1, 1000), written)
    assert str(raised.value) == f"expected a whole number from 1 to 1000, got {found}"


def test_a_word_that_stands_for_a_count_is_not_quoted() -> None:
    kind = Count(1, 9, {"auto": 0})
    assert value(kind, "auto") == 0
    with pytest.raises(Unexpected, match=r'got "auto"$'):
        value(kind, "'auto'")


@pytest.mark.parametrize("written", [".inf", "-.inf", ".nan", "1.0e+3", "-1", "0.5", "1_0", "'2'"])
def test_a_number_is_written_plainly_and_is_finite(written: str) -> None:
    with pytest.raises(Unexpected, match=r"^expected a number of at least 1"):
        value(Number(1), written)


def test_a_number_may_have_a_point() -> None:
    assert (value(Number(1), "1"), value(Number(1), "2.50"), value(Number(0, above=True), "0.001")) == (1, 2.5, 0.001)
    with pytest.raises(Unexpected, match=r"^expected a number above 0, got 0.0"):
        value(Number(0, above=True), "0.0")


@pytest.mark.parametrize("written", ["yes", "no", "on", "off", "True", "FALSE", "y", "1", "0", "'true'", "!!bool yes"])
def test_a_flag_is_true_or_false_and_no_other_word(written: str) -> None:
    with pytest.raises(Unexpected, match=r"^expected true or false, got"):
        value(Flag(), written)


@pytest.mark.parametrize("written", ["a\\0b", "\\0"])
def test_a_path_has_no_nul(written: str) -> None:
    with pytest.raises(Unexpected, match="a path cannot have a NUL in it"):
        value(PATH, f'"{written}"')


@pytest.mark.parametrize("written", ["gear+tls://h:1", "gear://h:1"])
def test_an_address_to_listen_on_has_no_scheme(written: str) -> None:
    with pytest.raises(Unexpected, match="has no scheme"):
        value(LISTEN, written)


@pytest.mark.parametrize("kind", [DURATION, DURATION_OR_ZERO, SIZE, RATE, PERCENT], ids=lambda kind: str(kind.shown))
@given(data=st.data())
def test_what_the_schema_takes_for_a_number_with_a_unit_is_what_is_read(kind: Kind, data: st.DataObject) -> None:
    text = data.draw(
        st.one_of(
            st.from_regex(
                re.compile(r"[0-9]{0,4}(\.[0-9]{0,4})?(ms|s|m|h|d|B|KiB|MiB|GiB|%|/s|/m|/h)"), fullmatch=True
            ),
            st.text(max_size=8),
        )
    )
    theirs = Draft202012Validator(kind.schema()).is_valid(text)
    try:
        number = kind.read(Item(Place("f"), "str", text))
    except Unexpected:
        # Python's $ and so the validator's takes a line break at the end, ECMA's and so the editors' does not.
        assert not theirs or text.endswith("\n")
    else:
        assert theirs
        assert math.isfinite(number)
        assert number >= 0


def test_every_schema_is_json() -> None:
    for kind in (DURATION, SIZE, RATE, PERCENT, Count(1, 2, {"auto": 0}), Number(0), Flag(), LISTEN, PATH):
        assert json.loads(json.dumps(kind.schema())) == kind.schema()
