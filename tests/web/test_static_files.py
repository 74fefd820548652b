from __future__ import annotations

from pathlib import Path

import falcon
import falcon.testing
import pytest

from gearpool.web.static_files import StaticFiles, read_files


@pytest.fixture
def client(tmp_path: Path) -> falcon.testing.TestClient:
    (tmp_path / "index.html").write_text("<title>page</title>")
    (tmp_path / "app.js").write_text("export {}")
    (tmp_path / "secret.py").write_text("no")
    app = falcon.App()
    files = StaticFiles(read_files(tmp_path))
    app.add_route("/", files)
    app.add_route("/static/{name}", files)
    return falcon.testing.TestClient(app)


def test_files_have_their_type_and_may_be_kept_but_not_used_unasked(client: falcon.testing.TestClient) -> None:
    page = client.simulate_get("/")
    assert page.text == "<title>page</title>"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    script = client.simulate_get("/static/app.js")
    assert (script.text, script.headers["content-type"]) == ("export {}", "text/javascript; charset=utf-8")


def test_a_file_that_the_client_has_is_not_sent_again(client: falcon.testing.TestClient) -> None:
    etag = client.simulate_get("/static/app.js").headers["etag"]
    again = client.simulate_get("/static/app.js", headers={"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    other = client.simulate_get("/static/app.js", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize("name", ["secret.py", "none.js", "..%2fapp.js", "..%2f..%2f..%2fetc%2fpasswd", "%00", "."])
def test_nothing_else_is_a_file(client: falcon.testing.TestClient, name: str) -> None:
    assert client.simulate_get(f"/static/{name}").status_code == 404
