from __future__ import annotations

from pathlib import Path

import pytest

from gearpool.config import load
from tests.web.sites import ScriptedSite

TEXT = """servers: s:1
defaults: {timeout: 30s, retry: {delay: 2s}}
http: {token: hunter2, read_token: hunter3}
functions:
  f:
    handler: a.b
    retry: {attempts: 3}
  g: c.d
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "workers.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def site(path: Path) -> ScriptedSite:
    site = ScriptedSite()
    site.site.apply(load([str(path)], None, {}).settings)
    return site


def test_each_setting_has_its_value_and_where_it_is_given(site: ScriptedSite) -> None:
    answer = site.get("/api/settings", params={"function": "f"})
    settings = answer.json["settings"]
    assert answer.json["function"] == "f"
    assert settings["handler"] == {"value": "a.b", "origin": "workers.yaml:6"}
    assert settings["timeout"] == {"value": "30s", "origin": "workers.yaml:2"}
    assert settings["retry.attempts"] == {"value": "3", "origin": "workers.yaml:7"}
    assert settings["retry.delay"] == {"value": "2s", "origin": "workers.yaml:2"}
    assert settings["retry.backoff"] == {"value": "2", "origin": "default"}
    assert settings["weight"] == {"value": "1", "origin": "default"}
    assert settings["breaker"] == {"value": "none", "origin": "default"}
    assert "hunter" not in answer.text
    assert site.get("/api/settings", params={"function": "g"}).json["settings"]["handler"]["origin"] == "workers.yaml:8"


@pytest.mark.parametrize("text", [TEXT.replace("30s", "40s"), "broken", None])
def test_after_a_change_of_the_file_there_are_no_places(site: ScriptedSite, path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    settings = site.get("/api/settings", params={"function": "f"}).json["settings"]
    assert settings["timeout_s"] == {"value": 30.0, "origin": None}
    assert {row["origin"] for row in settings.values()} == {None}


def test_an_unknown_function_and_none(site: ScriptedSite) -> None:
    assert site.get("/api/settings", params={"function": "x"}).status_code == 404
    assert site.get("/api/settings").status_code == 400
