from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gearpool.dead_letter_file import Letter, append, read
from gearpool.net.addresses import parse_server
from gearpool.settings import DeadLetterSettings, FunctionSettings
from gearpool.testing.servers import ThreadedJobServer, job_server
from tests.processes import free_port
from tests.web.sites import ScriptedSite
from tests.web.test_letter_files import letter

PATHS = ("/api/dead-letters/retry", "/api/dead-letters/drop")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dead.jsonl"
    for number in range(3):
        append(path, letter(number, "g" if number == 2 else "f", error=f"Error{number}: bad"))
    return path


@pytest.fixture
def site(path: Path) -> ScriptedSite:
    site = ScriptedSite()
    function = FunctionSettings(name="f", handler="a.b", dead_letter=DeadLetterSettings(file=str(path)))
    site.site.apply(dataclasses.replace(site.site.settings, functions=(function,)))
    return site


def left(path: Path) -> list[str]:
    return [each.handle for _, each in read(path) if isinstance(each, Letter)]


def test_letters_are_listed_without_their_payload(site: ScriptedSite, path: Path) -> None:
    answer = site.get("/api/dead-letters")
    (row,) = answer.json["files"]
    assert row["file"] == str(path)
    assert [each["handle"] for each in row["letters"]] == ["H:2", "H:1", "H:0"]
    assert "secret" not in answer.text
    assert "c2VjcmV0" not in answer.text


@pytest.mark.parametrize(
    ("body", "handles"),
    [
        ({"ids": [letter(0).id]}, ["H:1", "H:2"]),
        ({"ids": [letter(0).id, letter(1).id, "unknown"]}, ["H:2"]),
        ({"ids": ["unknown"]}, ["H:0", "H:1", "H:2"]),
        ({"function": "f", "error": None}, ["H:2"]),
        ({"function": "f", "error": "Error1"}, ["H:0", "H:2"]),
        ({"function": None, "error": "Error2"}, ["H:0", "H:1"]),
        ({"function": None, "error": None}, []),
    ],
)
def test_letters_are_dropped_by_id_or_by_kind(
    site: ScriptedSite, path: Path, body: dict[str, Any], handles: list[str]
) -> None:
    answer = site.post("/api/dead-letters/drop", {"file": str(path), **body})
    assert answer.json == {"ok": True, "result": {"file": str(path), "dropped": 3 - len(handles)}}
    assert left(path) == handles


def test_letters_are_submitted_again(site: ScriptedSite, path: Path) -> None:
    with job_server() as server:
        _serve_from(site, server)
        answer = site.post("/api/dead-letters/retry", {"file": str(path), "function": "f", "error": None})
        assert answer.json == {"ok": True, "result": {"file": str(path), "submitted": 2}}
        assert left(path) == ["H:2"]


def test_without_a_job_server_they_stay(site: ScriptedSite, path: Path) -> None:
    settings = dataclasses.replace(site.site.settings, servers=(parse_server(f"127.0.0.1:{free_port()}"),))
    site.site.apply(settings)
    answer = site.post("/api/dead-letters/retry", {"file": str(path), "function": None, "error": None})
    assert answer.status_code == 409
    assert "not all letters were submitted again" in answer.json["error"]
    assert left(path) == ["H:0", "H:1", "H:2"]


@pytest.mark.parametrize("where", PATHS)
def test_only_files_of_the_configuration_are_touched(site: ScriptedSite, tmp_path: Path, where: str) -> None:
    other = tmp_path / "other.jsonl"
    append(other, letter(0))
    for name in (str(other), "dead.jsonl", "/etc/passwd", "", "\0"):
        answer = site.post(where, {"file": name, "function": None, "error": None})
        assert (answer.status_code, answer.json["ok"]) == (409, False)
    assert left(other) == ["H:0"]


@pytest.mark.parametrize("where", PATHS)
def test_a_file_that_is_gone_is_said(site: ScriptedSite, path: Path, where: str) -> None:
    path.unlink()
    answer = site.post(where, {"file": str(path), "function": None, "error": None})
    assert answer.status_code == 409
    assert "No such file" in answer.json["error"]


@pytest.mark.parametrize("where", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        {}, {"file": "x"}, {"file": "x", "ids": []}, {"file": "x", "ids": [1]}, {"file": "x", "ids": "a"},
        {"file": "x", "function": None}, {"file": 1, "ids": ["a"]}, {"file": "x", "ids": ["a"], "function": None},
    ],
)  # fmt: skip
def test_what_is_not_clear_changes_nothing(site: ScriptedSite, path: Path, where: str, body: dict[str, Any]) -> None:
    body = {name: str(path) if value == "x" else value for name, value in body.items()}
    assert site.post(where, body).status_code == 400
    assert left(path) == ["H:0", "H:1", "H:2"]


def _serve_from(site: ScriptedSite, server: ThreadedJobServer) -> None:
    site.site.apply(dataclasses.replace(site.site.settings, servers=(parse_server(server.address),)))
