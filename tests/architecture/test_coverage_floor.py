from __future__ import annotations

from typing import Any

from tests.architecture.coverage_floor import problems


def report(total: float, **files: float) -> dict[str, Any]:
    return {
        "totals": {"percent_covered": total},
        "files": {
            f"{name}.py": {"summary": {"percent_covered": share}, "missing_lines": [3, 4]}
            for name, share in files.items()
        },
    }


def test_nothing_is_said_of_what_reaches_the_floor() -> None:
    assert problems(report(95.0, a=85.0, b=100.0)) == []


def test_modules_below_the_floor_are_named_worst_first_with_their_lines() -> None:
    assert problems(report(96.0, a=84.9, b=10.0, c=99.0)) == [
        "b.py: 10.0 %, wanted 85 %; never run: 3, 4",
        "a.py: 84.9 %, wanted 85 %; never run: 3, 4",
    ]


def test_the_total_has_a_floor_of_its_own() -> None:
    assert problems(report(94.9, a=90.0)) == ["all modules together: 94.9 %, wanted 95 %"]
