"""Numbers with a unit, as users write them: durations, sizes, rates, shares. Floor 0; pure.

One grammar for the configuration file and the command line: a number, and a unit without a space. A bare number is refused,
because its intended unit is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES: Mapping[str, float] = {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
PER_SECOND: Mapping[str, float] = {"/s": 1.0, "/m": 1 / 60, "/h": 1 / 3600}
SHARE: Mapping[str, float] = {"%": 0.01}

SYSTEMD_SECONDS: Mapping[str, float] = {
    "us": 1e-6, "ms": 1e-3, "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0,
    "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0,
    "day": 86400.0, "days": 86400.0,
}  # fmt: skip
"""systemd.time(7); Kubernetes (plain seconds) and compose files write a part of it."""

_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,6})?"
_NOT_ZERO = r"(?!0+(\.0+)?[^0-9.])"
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*")


def pattern(units: Mapping[str, float], *, zero: bool = True) -> str:
    """The regular expression of a number with one of ``units``, for validators and the JSON Schema."""
    return f"^{'' if zero else _NOT_ZERO}{_NUMBER}({'|'.join(map(re.escape, units))})$"


def parse(text: str, units: Mapping[str, float], *, zero: bool = True) -> float | None:
    """The value of ``text`` in the base unit; None if it is no number with one of ``units``, or zero and may not be."""
    if text.endswith("\n") or not re.match(pattern(units, zero=zero), text):
        return None
    split = re.fullmatch(r"([0-9.]+)(.*)", text)
    assert split is not None
    return float(split[1]) * units[split[2]]


def parse_span(text: str) -> float | None:
    """Seconds of a systemd time span such as ``45``, ``1min 30s`` or ``infinity``; None if it is none."""
    if text == "infinity":
        return float("inf")
    parts = _SPAN.findall(text)
    if not parts or _SPAN.sub("", text) or any(unit not in SYSTEMD_SECONDS for _, unit in parts):
        return None
    return float(sum(float(number) * SYSTEMD_SECONDS[unit] for number, unit in parts))
