"""JSON Schemas of typed records, for the OpenAPI document. Floor 3; pure."""

from __future__ import annotations

import types
import typing
from typing import Any

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    object: {},
    Any: {},
}


def schema_of(hint: Any) -> Schema:
    """The schema of a type hint: plain types, lists, dicts with string keys, unions and TypedDicts.

    Raises:
        TypeError: it is something else.
    """
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in arguments]}
    if typing.is_typeddict(hint):
        fields = typing.get_type_hints(hint)
        return {
            "type": "object",
            "properties": {name: schema_of(each) for name, each in fields.items()},
            "required": sorted(hint.__required_keys__),
        }
    raise TypeError(f"no schema for {hint!r}")
