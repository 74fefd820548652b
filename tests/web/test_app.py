from __future__ import annotations

from tests.web.sites import ScriptedSite, served, status


def test_the_application_runs_on_our_server() -> None:
    site = ScriptedSite()
    site.published.update(status(), None)
    with served(site.app) as server:
        connection = server.http()
        for method, length in (("GET", 3), ("HEAD", 0)):
            connection.request(method, "/livez")
            answer = connection.getresponse()
            assert (answer.status, len(answer.read())) == (200, length)
        connection.request("DELETE", "/livez")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        connection.close()
