"""HTTP of a real daemon: it answers while workers cannot, and nothing that a client does harms the daemon or its jobs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gearpool import Client
from tests.processes import free_port, need, wait_for
from tests.supervisor.test_web_child import WebSite
from tests.web.proxies import prefix_proxy

FUNCTIONS = """functions:
  record: site_handlers.record
  nap: {handler: site_handlers.nap, concurrency: 1000}
  hold: site_handlers.hold_the_gil
"""


class BusySite(WebSite):
    """A site with handlers that block."""

    def configure_http(self, http: str | None = None, token: str = "change", function: str = "record") -> None:
        super().configure_http(http, token, function)
        text = self.path.read_text()
        self.path.write_text(text[: text.index("functions:")] + "processes: 2\nstall_timeout: 60s\n" + FUNCTIONS)

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def run_a_job(self, payload: bytes = b"abc") -> None:
        with Client(self.server) as client:
            assert client.submit_job("record", payload, timeout=30) == payload[::-1]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BusySite]:
    found = BusySite(tmp_path / "site")
    yield found
    found.close()


def answers(site: BusySite) -> dict[str, Any]:
    """Everything that must be answered whatever the workers do; the status."""
    for path in ("/livez", "/readyz", "/startupz"):
        assert site.get(path)[0] == 200
    assert site.get("/metrics")[0] == 200
    for path in ("/api/failures", "/api/jobs", "/api/queues", "/api/history", "/api/dead-letters"):
        assert site.get(path)[0] == 200
    code, status = site.get("/api/status")
    assert code == 200
    return dict(status)


def test_it_answers_while_every_worker_is_stopped(site: BusySite) -> None:
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    workers = site.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:

        def old() -> dict[str, Any] | None:
            found = answers(site)
            return found if min(row["told_s"] for row in found["workers"]) > 2.0 else None

        status = wait_for(old, "the figures to grow old")
        assert status is not None
        assert {row["pid"] for row in status["workers"]} == set(workers)
        blocked = site.get("/api/jobs")[1]["blocked"]
        assert {row["worker"] for row in blocked} == set(workers)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    site.run_a_job()


def test_it_answers_while_every_worker_is_stuck_in_c(site: BusySite) -> None:
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    with Client(site.server) as client:
        for number in range(2):
            client.submit_background_job("hold", b"%d" % number)
            wait_for(lambda: site.count("began") > number, "the job to begin")  # noqa: B023 - called at once

    def blocked() -> dict[str, Any] | None:
        found = answers(site)
        return found if all(row["stalled_s"] for row in found["workers"]) else None

    status = wait_for(blocked, "both workers to be seen as blocked")
    assert status is not None
    assert {row["function"] for row in status["workers"]} == {"hold"}
    jobs = site.get("/api/jobs")[1]
    assert {row["function"] for row in jobs["blocked"]} == {"hold"}


def test_two_thousand_connections_and_slow_clients_harm_nothing(site: BusySite) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    pid = site.web()["pid"]
    streams: list[socket.socket] = []
    try:
        for number in range(2000):
            stream = socket.create_connection(("127.0.0.1", site.port), 20)
            streams.append(stream)
            with contextlib.suppress(OSError):
                # Some say nothing, some begin a request, some begin a body.
                stream.sendall(
                    (b"", b"GET / HT", b"POST /api/pause HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")[number % 3]
                )
            if number % 100 == 0:
                assert site.get("/livez")[0] == 200
        answers(site)
        site.run_a_job()
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        assert descriptors < 400
    finally:
        for stream in streams:
            stream.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    answers(site)
    assert site.web()["pid"] == pid
    assert not site.events("http.failed")


def test_garbage_harms_nothing(site: BusySite) -> None:
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    pid = site.web()["pid"]
    chance = random.Random(15)
    valid = b"POST /api/pause HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n"
    valid += b'{"function": null}'
    for number in range(300):
        data = bytearray(valid * 3 if number % 2 else b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        for _ in range(chance.randrange(1, 20)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        with socket.create_connection(("127.0.0.1", site.port), 20) as stream, contextlib.suppress(OSError):
            stream.sendall(chance.randbytes(200) if number % 10 == 0 else bytes(data))
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(65536):
                pass
    status = answers(site)
    assert (status["paused"], status["state"]) == ([], "running")
    assert site.web()["pid"] == pid
    assert not site.events("http.failed")
    assert not site.events("greenlet.exception")
    site.run_a_job()


@pytest.fixture
def proxy(site: BusySite) -> Iterator[str]:
    with prefix_proxy(site.port) as address:
        yield address


def test_it_works_behind_a_proxy_below_a_prefix(site: BusySite, proxy: str) -> None:
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    for path in ("/livez", "/api/status", "/api", "/metrics"):
        with urllib.request.urlopen(f"{proxy}{path}", timeout=20) as answer:
            assert answer.status == 200
    headers = {
        "Authorization": "Bearer change",
        "Content-Type": "application/json",
        "Origin": "https://outside.example",
    }
    own = {**headers, "Sec-Fetch-Site": "same-origin"}
    request = urllib.request.Request(f"{proxy}/api/pause", b'{"function": "record"}', own)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
    foreign = urllib.request.Request(f"{proxy}/api/resume", b'{"function": "record"}', headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(foreign, timeout=20)
    assert refused.value.code == 403
    refused.value.close()
    assert site.ask("status")["paused"] == ["record"]


def test_reading_changes_nothing(site: BusySite) -> None:
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    before = site.ask("status")
    for path in ("/api/pause", "/api/reload", "/api/recycle", "/api/dead-letters/drop", "/api/kill"):
        code, answer = site.get(f"{path}?function=record&token=change")
        assert (code, answer["ok"]) == (405, False)
    answers(site)
    after = site.ask("status")
    for name in ("paused", "generation", "reloads", "restarts", "processes"):
        assert after[name] == before[name]


def counters(text: str) -> dict[str, float]:
    """The values of everything that must never fall, by series."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and name.partition("{")[0].endswith(("_total", "_bucket", "_count", "_sum")):
            found[name] = float(value)
    return found


def test_no_counter_falls_while_workers_and_the_web_child_are_replaced(site: BusySite) -> None:
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    last: dict[str, float] = {}

    def scrape() -> dict[str, float]:
        now = counters(site.get("/metrics")[1])
        assert {name: (value, now.get(name)) for name, value in last.items() if now.get(name, -1.0) < value} == {}
        last.update(now)
        return now

    complete = 'gearpool_jobs_total{function="record",outcome="complete"}'
    done = 0
    for act in ("nothing", "reload", "recycle", "kill", "kill web"):
        for _ in range(20):
            site.run_a_job()
            done += 1
        if act == "reload":
            assert site.post("/api/reload", {})[0] == 200
        elif act == "recycle":
            assert site.post("/api/recycle", {"worker": None})[0] == 200
        elif act == "kill":
            os.kill(site.workers()[0], signal.SIGKILL)
        elif act == "kill web":
            os.kill(site.web()["pid"], signal.SIGKILL)
        scrape()
        wait_for(lambda: scrape()[complete] >= done, f"the jobs to be counted after {act}")  # noqa: B023 - called at once
        wait_for(lambda: len(site.workers()) == 2, "both workers")
    assert scrape()[complete] == done


def ask_prometheus(port: int, expression: str) -> list[float]:
    """The values that an expression has now; none before Prometheus is ready."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return [float(row["value"][1]) for row in json.load(answer)["data"]["result"]]
    except OSError:
        return []


@pytest.mark.peer("prometheus")
def test_prometheus_sees_a_counter_move_and_none_fall(site: BusySite, tmp_path: Path) -> None:
    program, port = need("prometheus"), free_port()
    (tmp_path / "prometheus.yaml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: gearpool, static_configs: [{{targets: ['127.0.0.1:{site.port}']}}]}}]\n"
    )
    site.start().until_serving()
    wait_for(lambda: site.get("/readyz")[0] == 200, "readiness")
    arguments = ["--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen([program, *arguments], cwd=tmp_path, stderr=subprocess.DEVNULL) as prometheus:
        try:
            wait_for(lambda: ask_prometheus(port, "up") == [1.0], "the first scrape", 60.0)
            complete = 'gearpool_jobs_total{function="record",outcome="complete"}'
            for number, act in enumerate((None, "reload", "recycle", "kill", "kill web"), 1):
                site.run_a_job()
                wait_for(lambda: ask_prometheus(port, complete) == [number], "the job to be scraped")  # noqa: B023 - called at once
                if act in ("reload", "recycle"):
                    assert site.post(f"/api/{act}", {"worker": None} if act == "recycle" else {})[0] == 200
                elif act is not None:
                    os.kill(site.workers()[0] if act == "kill" else site.web()["pid"], signal.SIGKILL)
            site.run_a_job()
            wait_for(lambda: ask_prometheus(port, complete) == [6.0], "the last job to be scraped")
            for name in ("_total", "_bucket", "_count", "_sum"):
                expression = f'count(resets({{__name__=~"gearpool_.+{name}"}}[10m]) > 0)'
                assert ask_prometheus(port, expression) == []
            wait_for(lambda: ask_prometheus(port, "up") == [1.0], "the target to be up")
        finally:
            prometheus.terminate()
