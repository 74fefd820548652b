"""`gearpool exporter`: a process of its own, with real job servers."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.client import Client
from tests.cli.commands import environment, gearpool
from tests.processes import Gearmand, free_port, wait_for


@contextlib.contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """An exporter on a free port: the process and the port."""
    argv = [sys.executable, "-m", "gearpool", "exporter", "--listen", "127.0.0.1:0", "--interval", "1s", *options]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("gearpool exporter: listening on 127.0.0.1:"), line
        try:
            yield process, int(line.rpartition(":")[2])
        finally:
            process.kill()


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, media type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def ready(port: int) -> bool:
    return get(port, "/readyz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_the_queues_of_several_servers_and_ends_cleanly(gearmand: Gearmand, number: signal.Signals) -> None:
    dead = f"127.0.0.1:{free_port()}"
    with Client(gearmand.address) as client:
        client.submit_background_job("later", b"x", priority="high")
    with running("--servers", f"{gearmand.address},{dead}") as (process, port):
        wait_for(lambda: ready(port), "readiness")
        status, media_type, text = get(port, "/metrics")
        assert (status, media_type.partition(";")[0]) == (200, "text/plain")
        lines = text.splitlines()
        labels = f'function="later",priority="high",server="{gearmand.address}"'
        assert f"gearman_jobs_waiting{{{labels}}} 1.0" in lines
        assert f'gearman_up{{server="{dead}"}} 0.0' in lines
        assert any(line.startswith("gearpool_build_info{") for line in lines)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


def test_openmetrics_is_served_when_the_request_accepts_it(gearmand: Gearmand) -> None:
    with running("--servers", gearmand.address) as (_, port):
        status, media_type, text = get(port, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
        assert (status, media_type.partition(";")[0]) == (200, "application/openmetrics-text")
        assert text.endswith("# EOF\n")


def test_it_is_alive_but_not_ready_before_each_server_was_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hole = f"127.0.0.1:{silent.getsockname()[1]}"
        with running("--servers", hole, "--connect-timeout", "60s") as (process, port):
            assert get(port, "/livez") == (200, "text/plain; charset=utf-8", "ok\n")
            status, _, text = get(port, "/readyz")
            assert (status, text) == (503, "not every job server has been asked yet\n")
            process.terminate()
            assert process.wait(30) == 0


def test_other_pages_and_methods_are_refused_as_json() -> None:
    with running("--servers", f"127.0.0.1:{free_port()}") as (_, port):
        assert get(port, "/")[:2] == (404, "application/json")
        assert "/metrics" in get(port, "/other")[2]
        assert get(port, "/metrics", "POST")[0] == 405
        assert get(port, "/livez", "HEAD")[::2] == (200, "")


def test_a_client_that_sends_nothing_delays_no_other(gearmand: Gearmand) -> None:
    with running("--servers", gearmand.address) as (_, port):
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"GET /metrics HTTP/1.1\r\n")
            assert get(port, "/livez")[0] == 200


def test_the_servers_of_a_configuration_file_are_asked(gearmand: Gearmand, tmp_path: Path) -> None:
    file = tmp_path / "workers.yaml"
    file.write_text(f"servers: {gearmand.address}\nfunctions:\n  reverse: gearpool.examples.reverse\n")
    with running("-c", str(file)) as (_, port):
        wait_for(lambda: ready(port), "readiness")
        assert f'gearman_up{{server="{gearmand.address}"}} 1.0' in get(port, "/metrics")[2]


def test_an_address_that_is_in_use_ends_it_with_73() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = gearpool("exporter", "--listen", address, code=73)
    assert re.search(rf"cannot listen on {address}: Address already in use", done.err)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--listen", "127.0.0.1:http"], "the port must be 0 to 65535"),
        (["--interval", "10ms"], "asked every 1 s at most"),
        (["--servers", "a b"], "is not a host name"),
    ],
)
def test_wrong_options_end_it_with_64(options: list[str], told: str) -> None:
    assert told in gearpool("exporter", *options, code=64).err


def test_its_help_has_examples_and_it_is_completed() -> None:
    text = gearpool("exporter", "--help").text
    assert "gearpool exporter -c workers.yaml" in text
    assert "exporter" in gearpool("completion", "bash").text
