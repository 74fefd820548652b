"""GET /api: the API as an OpenAPI document, made from the tables and records that the resources use. Floor 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from gearpool.status import DaemonStatus, FailuresAnswer
from gearpool.version import __version__
from gearpool.web.dead_letters import BY_ID, BY_KIND
from gearpool.web.guard import respond
from gearpool.web.queues import Queues
from gearpool.web.schemas import Schema, schema_of
from gearpool.web.steering import ACTIONS, Field

_TEXT: Schema = {"type": "string"}
_NUMBERS: Schema = {"type": "array", "items": {"type": ["number", "null"]}}
_ERROR: Schema = {
    "type": "object",
    "properties": {"ok": {"const": False}, "error": _TEXT},
    "required": ["ok", "error"],
}
_DONE: Schema = {"type": "object", "properties": {"ok": {"const": True}, "result": {}}, "required": ["ok", "result"]}
_OBJECT: Schema = {"type": "object"}
_JOBS: Schema = {
    "type": "object",
    "properties": {
        "jobs": {"type": "array", "items": _OBJECT},
        "blocked": {"type": "array", "items": _OBJECT},
    },
    "required": ["jobs", "blocked"],
}
_HISTORY: Schema = {
    "type": "object",
    "properties": {"step_s": {"type": "number"}, "end": {"type": "number"}, "rate": _NUMBERS},
    "required": ["step_s", "end"],
}
_SETTINGS: Schema = {
    "type": "object",
    "properties": {
        "function": _TEXT,
        "settings": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"value": {}, "origin": {"type": ["string", "null"]}},
                "required": ["value", "origin"],
            },
        },
    },
    "required": ["function", "settings"],
}
_LETTERS: Schema = {
    "type": "object",
    "properties": {"files": {"type": "array", "items": _OBJECT}},
    "required": ["files"],
}
_STATUSES = {
    400: "The request is malformed.",
    401: "A token is missing or wrong.",
    403: "The configuration has no http.token, or the request comes from the page of another site.",
    404: "There is no such function, file or path.",
    405: "The path does not have this method; Allow names those that it has.",
    409: "The daemon refuses.",
    415: "The content type is not application/json.",
    503: "The daemon does not answer, is not ready, or has too many listeners.",
}


class Description:
    """GET /api."""

    def __init__(self) -> None:
        self._document = document()

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The document."""
        respond(resp, self._document)


def document() -> dict[str, Any]:
    """The OpenAPI document. Its server is relative, because a proxy may serve it below a prefix."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gearpool",
            "version": __version__,
            "description": "What a gearpool daemon does, and what an operator can change in it.",
        },
        "servers": [{"url": "."}],
        "components": {
            "securitySchemes": {
                "read": {"type": "http", "scheme": "bearer", "description": "http.read_token or http.token, if set."},
                "change": {"type": "http", "scheme": "bearer", "description": "http.token."},
            }
        },
        "paths": {
            **{f"/{name}": _health(text) for name, text in _HEALTH.items()},
            "/metrics": _get(
                "Metrics, in the format that Accept names.", {"text/plain": _TEXT, _OPENMETRICS: _TEXT}, 503
            ),
            "/api": _get("This document.", _json(_OBJECT)),
            "/api/status": _get("The daemon, its workers, functions and servers.", _json(schema_of(DaemonStatus)), 503),
            "/api/failures": _get("Failures and stalls, grouped.", _json(schema_of(FailuresAnswer))),
            "/api/jobs": _get("The jobs in progress.", _json(_JOBS), 503),
            "/api/queues": _get("What waits on the job servers.", _json(schema_of(Queues))),
            "/api/history": _get("The last hour.", _json(_HISTORY), 400, 404, function=False),
            "/api/settings": _get("A function's settings.", _json(_SETTINGS), 400, 404, function=True),
            "/api/dead-letters": _get("The newest dead letters of each file.", _json(_LETTERS)),
            "/api/view": _get("Everything that the dashboard shows.", _json(_OBJECT), 503),
            "/api/events": _get("The same, and then its changes, as server-sent events.", {_EVENTS: _TEXT}, 503),
            "/api/dead-letters/retry": _post("Submit dead letters again as background jobs.", BY_ID, BY_KIND),
            "/api/dead-letters/drop": _post("Drop dead letters.", BY_ID, BY_KIND),
            **{f"/api/{name}": _post(action.summary, action.fields) for name, action in ACTIONS.items()},
        },
    }


_OPENMETRICS = "application/openmetrics-text"
_EVENTS = "text/event-stream"
_HEALTH = {
    "livez": "Whether the supervisor works; never depends on a job server.",
    "readyz": "Whether some worker is ready and some job server connected.",
    "startupz": "Whether the first workers have become ready.",
}


def _json(schema: Schema) -> dict[str, Schema]:
    return {"application/json": schema}


def _response(text: str, content: Mapping[str, Schema]) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": schema} for kind, schema in content.items()}}


def _errors(*codes: int) -> dict[str, Any]:
    return {str(code): _response(_STATUSES[code], _json(_ERROR)) for code in codes}


def _health(text: str) -> dict[str, Any]:
    answers = {"200": _response("ok", {"text/plain": _TEXT}), "503": _response("The reason.", {"text/plain": _TEXT})}
    return {"get": {"summary": text, "security": [], "responses": answers | _errors(405)}}


def _get(summary: str, content: Mapping[str, Schema], *errors: int, function: bool | None = None) -> dict[str, Any]:
    """A resource of GET; ``function`` says whether its parameter of that name is required, None: there is none."""
    parameter = {"name": "function", "in": "query", "required": function, "schema": _TEXT}
    return {
        "get": {
            "summary": summary,
            "security": [{"read": []}],
            "parameters": [] if function is None else [parameter],
            "responses": {"200": _response("The answer.", content)} | _errors(401, *errors, 405),
        }
    }


def _post(summary: str, *forms: Mapping[str, Field]) -> dict[str, Any]:
    schemas = [_body(form) for form in forms]
    body = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    return {
        "post": {
            "summary": summary,
            "security": [{"change": []}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"200": _response("Done.", _json(_DONE))} | _errors(400, 401, 403, 405, 409, 415, 503),
        }
    }


def _body(form: Mapping[str, Field]) -> Schema:
    return {
        "type": "object",
        "properties": {name: {**each.schema, "description": each.meaning} for name, each in form.items()},
        "required": list(form),
        "additionalProperties": False,
    }
