from __future__ import annotations

import math
import re

import pytest

from gearpool import units


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("500ms", units.SECONDS, 0.5), ("30s", units.SECONDS, 30.0), ("1.5m", units.SECONDS, 90.0),
        ("24h", units.SECONDS, 86400.0), ("7d", units.SECONDS, 604800.0), ("0s", units.SECONDS, 0.0),
        ("512MiB", units.BYTES, 2.0**29), ("1GiB", units.BYTES, 2.0**30), ("12B", units.BYTES, 12.0),
        ("50/s", units.PER_SECOND, 50.0), ("600/m", units.PER_SECOND, 10.0), ("20%", units.SHARE, 0.2),
    ],
)  # fmt: skip
def test_a_number_with_its_unit_has_a_value(text: str, kind: dict[str, float], value: float) -> None:
    assert units.parse(text, kind) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["30", "1 s", "-1s", "s", "", "9" * 400 + "d", "1e3s", "30S", "30s\n", "٣s", ".5s", "1.s"]
)
def test_what_is_no_duration_has_none(text: str) -> None:
    assert units.parse(text, units.SECONDS) is None


@pytest.mark.parametrize("text", ["0s", "0.0s", "00ms", "000.000h"])
def test_zero_is_refused_where_it_makes_no_sense(text: str) -> None:
    assert units.parse(text, units.SECONDS, zero=False) is None
    assert units.parse(text, units.SECONDS) == 0.0


def test_less_than_one_is_not_zero() -> None:
    assert units.parse("0.5s", units.SECONDS, zero=False) == 0.5


def test_the_pattern_is_the_grammar() -> None:
    assert re.match(units.pattern(units.BYTES), "64KiB")
    assert not re.match(units.pattern(units.BYTES), "64KB")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45", 45.0), ("45s", 45.0), ("1min 30s", 90.0), ("1m30s", 90.0), ("2 hours", 7200.0), ("infinity", math.inf)],
)  # fmt: skip
def test_a_span_of_systemd_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert units.parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "45 parsecs", "-5", "1min, 30s"])
def test_what_is_no_span_has_none(text: str) -> None:
    assert units.parse_span(text) is None
