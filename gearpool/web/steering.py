"""What can be changed: the resources of POST, each a request that the supervisor serves. Floor 3.

The table is also the source of the OpenAPI document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import falcon

from gearpool.web.guard import respond
from gearpool.web.supervisor import WAIT_S, Supervisor

RELOAD_S = 300.0
"""A reload imports every handler and starts every worker; each start may take two minutes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a request's body, which must be given; ``schema`` is its JSON Schema, as far as the table below uses it."""

    schema: Mapping[str, Any]
    meaning: str


@dataclass(frozen=True, slots=True)
class Action:
    """One action: the supervisor's name for it, the body's keys, and how long it may take."""

    do: str
    summary: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    wait_s: float = WAIT_S


_FUNCTION_OR_ALL = {
    "function": Field({"type": ["string", "null"]}, "The function; null: all functions, also those of workers to come.")
}

ACTIONS: dict[str, Action] = {
    "pause": Action("pause", "Take no more jobs of a function; running ones go on.", _FUNCTION_OR_ALL),
    "resume": Action("resume", "Take jobs of a function again.", _FUNCTION_OR_ALL),
    "resize": Action(
        "resize",
        "Change how many jobs of a function run at once in one process, until the next reload.",
        {
            "function": Field({"type": "string"}, "The function."),
            "concurrency": Field(
                {"type": "integer", "minimum": 1, "maximum": 1_000_000}, "Jobs at once in one process."
            ),
        },
    ),
    "kill": Action(
        "kill",
        "End one job.",
        {"handle": Field({"type": "string", "minLength": 1}, "HANDLE or SERVER/HANDLE of the job.")},
    ),
    "recycle": Action(
        "recycle",
        "Replace worker processes; each new one is ready before the old one drains.",
        {"worker": Field({"type": ["integer", "null"]}, "Process id of the worker; null: all.")},
    ),
    "reload": Action("reload", "Read the configuration and the code again.", wait_s=RELOAD_S),
    "log-level": Action(
        "log-level",
        "Log this level and above until the next reload.",
        {"level": Field({"type": "string", "enum": ["debug", "info", "warning", "error"]}, "The level.")},
    ),
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "null": (type(None),),
    "array": (list,),
}


class Steer:
    """POST /api/ACTION."""

    def __init__(self, supervisor: Supervisor, action: Action) -> None:
        self._supervisor = supervisor
        self._action = action

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Have the supervisor do it; 409 if it refuses."""
        body = read_body(req, self._action.fields)
        answer = self._supervisor.ask(self._action.do, self._action.wait_s, **body)
        if not answer.get("ok"):
            raise falcon.HTTPConflict(description=str(answer.get("error")))
        respond(resp, answer)


def read_body(req: falcon.Request, *forms: Mapping[str, Field]) -> dict[str, Any]:
    """The body as an object with exactly the keys of one of the ``forms``.

    Raises:
        falcon.HTTPBadRequest: the body is something else.
    """
    try:
        body = json.loads(req.bounded_stream.read())
    except (ValueError, RecursionError) as error:
        raise falcon.HTTPBadRequest(description=f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise falcon.HTTPBadRequest(description="the body must be a JSON object")
    fields = next((form for form in forms if form.keys() == body.keys()), None)
    if fields is None:
        expected = " or ".join(f"{{{', '.join(form)}}}" for form in forms)
        raise falcon.HTTPBadRequest(description=f"the body must have the keys {expected}")
    for name, each in fields.items():
        _check(name, body[name], each.schema)
    return body


def _check(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    types = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    allowed = tuple(each for word in types for each in _TYPES[word])
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise falcon.HTTPBadRequest(description=f"{name} must be {' or '.join(types)}")
    if isinstance(value, list) and not (value and all(isinstance(each, str) for each in value)):
        raise falcon.HTTPBadRequest(description=f"{name} must be a list of at least one string")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        raise falcon.HTTPBadRequest(description=f"{name} must not be empty")
    if isinstance(value, str) and value not in schema.get("enum", [value]):
        raise falcon.HTTPBadRequest(description=f"{name} must be one of {', '.join(schema['enum'])}")
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        raise falcon.HTTPBadRequest(description=f"{name} must be from {schema['minimum']} to {schema['maximum']}")
