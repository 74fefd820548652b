from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gearpool import Client
from tests.integration.daemons import Site
from tests.processes import accepts, free_port, wait_for

CHANGE = {"Authorization": "Bearer change", "Content-Type": "application/json"}


class WebSite(Site):
    """A daemon with the embedded job server and HTTP."""

    def __init__(self, folder: Path) -> None:
        self.server_port, self.port = free_port(), free_port()
        super().__init__(folder, "")
        self.listen = f"127.0.0.1:{self.port}"
        self.configure_http()

    def configure_http(self, http: str | None = None, token: str = "change", function: str = "record") -> None:
        given = http if http is not None else f"{{listen: '{self.listen}', token: {token}}}"
        self.path.write_text(
            f"servers: embedded\nembedded: {{listen: '127.0.0.1:{self.server_port}'}}\nlog: {{format: json}}\n"
            f"http: {given}\nfunctions: {{{function}: {{handler: site_handlers.record}}}}\n"
        )

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if text.startswith("{") else text

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", path, json.dumps(body), headers or CHANGE)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        connection.close()
        return answer.status, found

    def web(self) -> dict[str, Any]:
        row: dict[str, Any] = self.ask("status")["web"]
        return row


@pytest.fixture
def site(tmp_path: Path) -> Iterator[WebSite]:
    found = WebSite(tmp_path / "site")
    yield found
    found.close()


def test_it_answers_before_the_workers_are_ready_and_until_the_end(site: WebSite) -> None:
    (site.folder / "site_handlers.py").write_text(
        "import time, pathlib\nwhile not (pathlib.Path(__file__).parent / 'go').exists(): time.sleep(0.01)\n"
        "def record(arg): return arg\n"
    )
    # The checker imports the handlers, too.
    (site.folder / "go").touch()
    site.start()
    wait_for(lambda: accepts(site.port), "the web child to listen")
    site.until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "the daemon to be ready")
    assert site.get("/livez") == (200, "ok\n")
    assert site.web()["listen"] == site.listen
    site.send(signal.SIGTERM)
    assert site.wait() == 0
    assert not accepts(site.port)


def test_the_status_is_that_of_the_control_socket(site: WebSite) -> None:
    site.start().until_serving()
    status = wait_for(lambda: (found := site.get("/api/status")[1])["state"] == "running" and found, "the status")
    told = site.ask("status")
    assert status.keys() == told.keys()
    assert status["pid"] == told["pid"]
    assert site.get("/api/failures") == (200, {"failures": [], "stalls": [], "forgotten": {"failures": 0, "stalls": 0}})


def test_a_change_over_http_is_seen_by_the_next_request(site: WebSite) -> None:
    site.start().until_serving()
    assert site.post("/api/pause", {"function": "record"})[0] == 200
    assert site.get("/api/status")[1]["paused"] == ["record"]
    assert site.ask("status")["paused"] == ["record"]
    status, answer = site.post("/api/pause", {"function": "unknown"})
    assert (status, answer["ok"]) == (409, False)
    assert site.post("/api/resume", {"function": "record"}, {"Authorization": "Bearer wrong"})[0] == 401
    assert site.get("/api/status")[1]["paused"] == ["record"]


def test_killed_it_is_replaced_and_no_connection_is_refused(site: WebSite) -> None:
    site.start().until_serving()
    pid = site.web()["pid"]
    os.kill(pid, signal.SIGKILL)
    assert site.get("/livez") == (200, "ok\n")
    assert site.web()["pid"] != pid
    assert site.ask("status")["state"] == "running"
    assert site.events("web.gone")[0]["web"] == pid


def test_stopped_it_disturbs_nobody_and_is_replaced(site: WebSite) -> None:
    command = (
        "import sys; from gearpool.supervisor.daemon import Daemon; from gearpool.supervisor.options import Options"
    )
    command += "; sys.exit(Daemon(Options(sys.argv[1], web_kill_s=3.0)).run())"
    with (site.folder / "log").open("ab") as log:
        site.process = subprocess.Popen(
            [sys.executable, "-c", command, str(site.path)], stderr=log, env=site.environment, process_group=0
        )
    site.until_serving()
    os.kill(site.web()["pid"], signal.SIGSTOP)
    wait_for(lambda: site.events("web.killed"), "it to be killed")
    assert site.get("/livez") == (200, "ok\n")
    assert not site.events("channel.full")


def test_an_address_in_use_stops_the_start(site: WebSite) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", site.port))
        other.listen()
        site.start()
        assert site.wait() == 73
    (failed,) = site.events("daemon.start_failed")
    assert f"cannot listen on {site.listen} (http.listen): Address already in use" in failed["message"]
    assert not site.events("worker.started")


def test_a_reload_that_leaves_http_alone_keeps_the_process(site: WebSite) -> None:
    site.start().until_serving()
    pid = site.web()["pid"]
    assert site.post("/api/reload", {})[0] == 200
    assert site.web()["pid"] == pid


def test_a_reload_with_another_token_replaces_the_process_after_its_answer(site: WebSite) -> None:
    site.start().until_serving()
    pid = site.web()["pid"]
    site.configure_http(token="other")
    assert site.post("/api/reload", {})[0] == 200
    assert site.post("/api/pause", {"function": None})[0] == 401
    other = {**CHANGE, "Authorization": "Bearer other"}
    assert site.post("/api/pause", {"function": None}, other)[0] == 200
    assert site.web()["pid"] != pid
    assert site.ask("status")["generation"] == 1


def test_a_reload_to_another_address_moves_or_changes_nothing(site: WebSite) -> None:
    site.start().until_serving()
    old = site.port
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        site.configure_http(f"{{listen: '127.0.0.1:{other.getsockname()[1]}', token: change}}")
        status, answer = site.post("/api/reload", {})
        assert (status, "cannot listen" in answer["error"]) == (409, True)
        assert site.get("/livez")[0] == 200
    new = free_port()
    site.configure_http(f"{{listen: '127.0.0.1:{new}', token: change}}")
    assert site.post("/api/reload", {})[0] == 200
    site.port = new
    assert site.get("/livez")[0] == 200
    assert not accepts(old)
    assert site.web()["listen"] == f"127.0.0.1:{new}"


def test_http_can_be_switched_off_and_on_by_a_reload(site: WebSite) -> None:
    configured = site.path.read_text()
    site.path.write_text(configured.replace("http:", "# http:"))
    site.start().until_serving()
    assert site.ask("status")["web"] is None
    site.path.write_text(configured)
    site.ask("reload")
    assert site.get("/livez")[0] == 200
    site.path.write_text(configured.replace("http:", "# http:"))
    site.ask("reload")
    wait_for(lambda: not accepts(site.port), "the web child to stop listening")
    assert site.ask("status")["web"] is None
    site.send(signal.SIGTERM)
    assert site.wait() == 0


def test_on_a_unix_socket(site: WebSite) -> None:
    path = site.runtime / "web"
    site.configure_http(f"{{listen: 'unix:{path}', token: change}}")
    site.start().until_serving()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    site.send(signal.SIGTERM)
    assert site.wait() == 0
    assert not path.exists()


def test_with_the_supervisor_it_ends_at_once(site: WebSite) -> None:
    site.start().until_serving()
    site.send(signal.SIGKILL)
    wait_for(lambda: not accepts(site.port), "the web child to end")


COMMAND = """
import json, sys
from gearpool.supervisor.daemon import Daemon
from gearpool.supervisor.options import Options, Programs
sys.exit(Daemon(Options(sys.argv[1], programs=Programs(web=json.loads(sys.argv[2])))).run())
"""


def start_with(site: WebSite, *web: str) -> None:
    """Start the daemon with another program for the web child."""
    with (site.folder / "log").open("ab") as log:
        site.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(site.path), json.dumps(web)],
            stderr=log, env=site.environment, process_group=0,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("program", "event"),
    [(("/bin/false",), "web.crash_loop"), (("/nonexistent",), "web.cannot_start")],
)
def test_a_web_child_that_cannot_run_never_ends_the_daemon(site: WebSite, program: tuple[str, ...], event: str) -> None:
    start_with(site, *program)
    site.until_serving()
    wait_for(lambda: site.events(event), "the failure to be logged", 40.0)
    status = site.ask("status")
    assert (status["state"], status["problem"]) == ("running", None)
    assert status["web"]["state"] in {"restarting", "starting"}
    with Client(f"127.0.0.1:{site.server_port}") as client:
        assert client.submit_job("record", b"abc", timeout=30) == b"cba"
    site.send(signal.SIGTERM)
    assert site.wait() == 0


OLD_SUPERVISOR = """
import sys
from gearpool.children import web
from gearpool.web.published import Published
update = Published.update
def less(self, status, failures):
    update(self, {name: status[name] for name in ("state", "problem", "servers")}, failures)
Published.update = less
sys.exit(web.main(sys.argv[1:]))
"""


def test_health_checks_go_on_although_less_is_published_than_is_shown(site: WebSite) -> None:
    start_with(site, sys.executable, "-c", OLD_SUPERVISOR)
    site.until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    assert site.get("/livez")[0] == 200
    assert site.events("web.error")
    assert not site.events("web.gone")


def test_events_end_with_the_daemon(site: WebSite) -> None:
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request("GET", "/api/events")
    answer = connection.getresponse()
    assert answer.readline() == b"event: view\n"
    assert site.post("/api/pause", {"function": "record"})[0] == 200
    lines = iter(answer.readline, b"")
    changes = (json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))
    assert any(change.get("status", {}).get("paused") == ["record"] for change in changes)
    site.send(signal.SIGTERM)
    while answer.readline():
        pass
    assert site.wait() == 0
    connection.close()
