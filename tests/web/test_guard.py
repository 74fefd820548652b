from __future__ import annotations

from typing import Any

import pytest

from gearpool.web.app import make_app
from gearpool.web.guard import POLICY
from tests.web.sites import CHANGE, READ, READ_TOKEN, ScriptedSite, status

PAUSE = {"function": None}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {READ_TOKEN}"}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": None}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "http://falconframework.org"}, 200),
        ({"Origin": "https://proxy", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({}, 200),
    ],
)
def test_a_change_needs_token_content_type_and_our_own_page(headers: dict[str, str | None], code: int) -> None:
    site = ScriptedSite(read_token=READ_TOKEN)
    given = {name: each for name, each in (CHANGE | headers).items() if each is not None}
    answer = site.post("/api/pause", PAUSE, headers=given)
    assert answer.status_code == code
    assert bool(site.asked) is (code == 200)
    assert answer.json["ok"] is (code == 200)
    assert ("www-authenticate" in answer.headers) is (code == 401)


def test_without_a_token_nothing_can_be_changed_and_the_reason_is_said() -> None:
    site = ScriptedSite(token=None, read_token=READ_TOKEN)
    answer = site.post("/api/pause", PAUSE, headers=CHANGE | READ)
    assert answer.status_code == 403
    assert "http.token" in answer.json["error"]
    assert site.asked == []


@pytest.mark.parametrize("path", ["/api/status", "/api/failures", "/api/jobs"])
def test_reading_needs_one_of_the_tokens_if_there_is_a_read_token(path: str) -> None:
    site = ScriptedSite(lambda _: {"ok": True, "result": []}, read_token=READ_TOKEN)
    site.published.update(status(), None)
    assert site.get(path).status_code == 401
    assert site.get(path).headers["www-authenticate"].startswith("Bearer")
    assert site.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert site.get(path, headers=READ).status_code == 200
    assert site.get(path, headers={"Authorization": CHANGE["Authorization"]}).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/api/status", "/nowhere", "/api/pause"])
def test_every_response_has_the_security_headers(path: str) -> None:
    answer = ScriptedSite().get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has() -> None:
    site = ScriptedSite()
    answer = site.get("/api/pause")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
    answer = site.client.simulate_delete("/api/status")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer.json["ok"] is False
    answer = site.post("/api/status", {})
    assert answer.status_code == 405


def test_an_unknown_path_is_an_error_in_json() -> None:
    answer = ScriptedSite().get("/nowhere")
    assert (answer.status_code, answer.json["ok"]) == (404, False)


def test_a_fault_of_ours_is_told_without_its_details() -> None:
    site = ScriptedSite()

    class Faulty:
        def on_get(self, _req: Any, _resp: Any) -> None:
            raise ValueError("secret")

    app = make_app(site.site)
    app.add_route("/faulty", Faulty())
    site.client.app = app
    answer = site.get("/faulty")
    assert (answer.status_code, answer.json) == (500, {"ok": False, "error": "internal error; see the log"})


def test_no_answer_of_the_supervisor_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearpool.web.site.JOBS_S", 0.01)
    site = ScriptedSite(lambda _: None)
    answer = site.get("/api/jobs")
    assert answer.status_code == 503
    assert "did not answer" in answer.json["error"]
