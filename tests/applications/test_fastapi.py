"""FastAPI under uvicorn, with one AsyncClient in its lifespan."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import gearpool
from gearpool.testing import job_server, working
from tests.applications.serving import ROOT, reverses, serving


def fail(arg: bytes) -> bytes:
    raise gearpool.Abort("on purpose")


def letters(arg: bytes) -> Iterator[bytes]:
    for letter in arg.decode():
        yield letter.encode()


def test_a_fastapi_application_awaits_streams_and_submits_jobs() -> None:
    with (
        job_server() as server,
        working(server, reverse=lambda arg: arg[::-1], fail=fail, letters=letters),
        serving("uvicorn", "tests.applications.fastapi_app:app", "--fd", "{fd}", server=server.address) as site,
    ):
        texts = [f"text {number}" for number in range(40)]
        assert site.ask_all([reverses(text) for text in texts]) == [(200, {"result": text[::-1]}) for text in texts]
        assert site.ask("/several/300") == (200, [f"item {number}"[::-1] for number in range(300)])
        assert site.ask("/stream/abc") == (200, "abc")
        assert site.ask("/never")[0] == 504
        assert site.ask("/fails") == (502, {"error": "failed", "function": "fail"})
        code, answer = site.ask("/later/x", method="POST")
        assert code == 202
        assert site.ask("/jobs/" + urllib.parse.quote(answer["job"])) == (200, {"known": True, "running": False})
        server.stop()
        code, answer = site.ask("/reverse/x")
        assert (code, list(answer["servers"])) == (503, [server.address])


def test_the_example_in_the_readme_runs(tmp_path: Path) -> None:
    [example] = re.findall(
        r"^```python\n((?:(?!```).)*FastAPI\(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    with job_server() as server, working(server, reverse=lambda arg: arg[::-1]):
        (tmp_path / "readme.py").write_text(example.replace("localhost:4730", server.address))
        argv = ["uvicorn", "readme:app", "--app-dir", str(tmp_path), "--fd", "{fd}"]
        with serving(*argv, server=server.address, ready="/reverse/ready") as site:
            assert site.ask("/reverse/hello") == (200, "olleh")
