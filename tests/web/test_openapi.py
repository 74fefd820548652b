from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from gearpool.web.openapi import document
from gearpool.web.published import NO_FAILURES
from tests.web.sites import ScriptedSite, function, status


def test_every_path_of_the_api_is_described() -> None:
    site = ScriptedSite()
    described = document()["paths"]
    served = {
        route.uri_template: {method for method in route.method_map if method in ("GET", "POST")}
        for route in _routes(site.app._router._roots)
        if route.uri_template is not None
    }
    expected = {path: {method.upper() for method in operations} for path, operations in described.items()}
    del served["/"], served["/static/{name}"]
    served = {
        path: {method for method in methods if hasattr(_resource(site, path), f"on_{method.lower()}")}
        for path, methods in served.items()
    }
    assert served == expected


def _routes(nodes: Any) -> Any:
    for node in nodes:
        if node.resource is not None:
            yield node
        yield from _routes(node.children)


def _resource(site: ScriptedSite, path: str) -> Any:
    found = site.app._router.find(path)
    assert found is not None
    return found[0]


def test_the_document_is_served_with_a_relative_server() -> None:
    answer = ScriptedSite().get("/api")
    assert answer.json == document()
    assert answer.json["servers"] == [{"url": "."}]


@pytest.mark.parametrize(
    "path", ["/api/status", "/api/failures", "/api/jobs", "/api/queues", "/api/history", "/api/dead-letters"]
)
def test_answers_are_as_described(path: str) -> None:
    site = ScriptedSite(lambda _: {"ok": True, "result": []})
    site.published.update(status(functions={"work": function()}), NO_FAILURES)
    schema = document()["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(site.get(path).json, schema)
