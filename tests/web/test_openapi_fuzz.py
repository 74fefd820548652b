"""Requests made from the OpenAPI document, valid and invalid ones, against the real server with a scripted supervisor.

schemathesis is imported where it is used, since importing it takes longer than most test files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gearpool.config import load
from gearpool.dead_letter_file import append
from gearpool.web.openapi import document
from gearpool.web.published import NO_FAILURES
from tests.web.sites import ScriptedSite, function, served, status
from tests.web.test_letter_files import letter

OPERATIONS = [
    (path, method) for path, operations in document()["paths"].items() for method in operations if path != "/api/events"
]
STEADY = settings(
    derandomize=True, max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    phases=[Phase.generate],
)  # fmt: skip


def answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "jobs":
        return {"ok": True, "result": []}
    if request.get("function") not in (None, "work"):
        return {"ok": False, "error": f"no function {request['function']!r}"}
    return {"ok": True, "result": request}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScriptedSite, str]]:
    folder: Path = tmp_path_factory.mktemp("site")
    append(folder / "dead.jsonl", letter(1))
    (folder / "workers.yaml").write_text(
        "servers: '127.0.0.1:1'\nhttp: {token: change}\n"
        "functions: {work: {handler: a.b, dead_letter: {file: dead.jsonl}}}\n"
    )
    site = ScriptedSite(answer)
    configured = load([str(folder / "workers.yaml")], None, {}).settings
    site.site.apply(dataclasses.replace(configured, http=site.site.settings.http))
    site.published.update(status(functions={"work": function()}), NO_FAILURES)
    with served(site.app) as server:
        yield site, f"http://127.0.0.1:{server.port}"


def run(path: str, method: str, call: Callable[[Any], None]) -> None:
    """Make the call for many requests that the document allows."""
    import schemathesis

    operation = schemathesis.openapi.from_dict(document())[path][method]
    STEADY(given(operation.as_strategy())(call))()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_request_is_answered_as_described(path: str, method: str, site: tuple[ScriptedSite, str]) -> None:
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as openapi

    scripted, url = site
    before = len(scripted.asked)
    wanted = [
        checks.not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_schema_conformance,
    ]
    headers = {"Authorization": "Bearer change"} if method == "post" else {}

    def call(case: Any) -> None:
        scripted.published.update(
            status(functions={"work": function()}), NO_FAILURES
        )  # as a supervisor does each second
        case.call_and_validate(base_url=url, headers=headers, checks=wanted)

    run(path, method, call)
    if method == "get":
        assert {request["do"] for request in scripted.asked[before:]} <= {"jobs"}


BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("work"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["function", "concurrency", "handle", "worker", "level", "file", "ids", "error"]), inner
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("path", [path for path, method in OPERATIONS if method == "post"])
def test_a_body_that_is_not_as_described_changes_nothing(path: str, site: tuple[ScriptedSite, str]) -> None:
    scripted, _ = site
    content = document()["paths"][path]["post"]["requestBody"]["content"]
    described = jsonschema.Draft202012Validator(content["application/json"]["schema"])

    @STEADY
    @given(BODIES)
    def call(body: Any) -> None:
        before = len(scripted.asked)
        answer = scripted.post(path, body)
        if described.is_valid(body):
            assert answer.status_code in (200, 409)
        else:
            assert (answer.status_code, len(scripted.asked)) == (400, before)

    call()


@pytest.mark.parametrize(("path", "method"), [each for each in OPERATIONS if each[1] == "post"])
def test_without_the_token_nothing_is_changed(path: str, method: str, site: tuple[ScriptedSite, str]) -> None:
    scripted, url = site
    before = len(scripted.asked)

    def call(case: Any) -> None:
        assert case.call(base_url=url, headers={"Authorization": "Bearer look"}).status_code == 401

    run(path, method, call)
    assert len(scripted.asked) == before
