from __future__ import annotations

from typing import Any, TypedDict

import pytest

from gearpool.web.schemas import schema_of


class Inner(TypedDict):
    a: int


class Record(TypedDict):
    name: str
    many: list[Inner]
    by_name: dict[str, float]
    maybe: bool | None
    anything: object


def test_a_record_becomes_a_schema() -> None:
    assert schema_of(Record) == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "many": {
                "type": "array",
                "items": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            },
            "by_name": {"type": "object", "additionalProperties": {"type": "number"}},
            "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "anything": {},
        },
        "required": ["anything", "by_name", "many", "maybe", "name"],
    }


@pytest.mark.parametrize("hint", [bytes, set[int], tuple[int, ...]])
def test_other_types_are_refused(hint: Any) -> None:
    with pytest.raises(TypeError, match="no schema"):
        schema_of(hint)
