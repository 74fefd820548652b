from __future__ import annotations

import contextlib
import io
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gearpool import logs
from gearpool.settings import LogSettings
from gearpool.web import server as server_module
from tests.processes import wait_for
from tests.web.sites import Served, read_all, served

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class Application:
    """Answers each request with what it was."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"], body
        self.requests.append(request)
        if environ["PATH_INFO"] == "/fail":
            raise ValueError("a fault")
        answer = json.dumps([request[0], request[1], len(body)]).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def server(application: Application) -> Iterator[Served]:
    with served(application) as found:
        yield found


def codes(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)]


def test_a_connection_serves_one_request_after_the_other(server: Served) -> None:
    connection = server.http()
    for path in ("/a", "/b"):
        connection.request("GET", path)
        assert json.loads(connection.getresponse().read()) == ["GET", path, 0]
    connection.close()
    assert codes(server.raw(GET * 3)) == [200] * 3


@pytest.mark.parametrize(
    ("request_line", "connection", "stays"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: close\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: TE, Close\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_who_closes_the_connection(server: Served, request_line: bytes, connection: bytes, stays: bool) -> None:
    request = request_line + b"\r\nHost: a\r\n" + connection + b"\r\n"
    assert codes(server.raw(request * 2)) == [200] * (2 if stays else 1)


def test_head_is_answered_like_get_without_the_body(server: Served, application: Application) -> None:
    connection = server.http()
    connection.request("HEAD", "/a")
    answer = connection.getresponse()
    assert (answer.status, answer.read(), int(answer.headers["Content-Length"])) == (200, b"", len('["GET", "/a", 0]'))
    connection.request("GET", "/b")
    assert json.loads(connection.getresponse().read()) == ["GET", "/b", 0]
    connection.close()
    assert [request[0] for request in application.requests] == ["GET", "GET"]


def test_bodies_come_with_a_length_or_in_chunks(server: Served, application: Application) -> None:
    connection = server.http()
    connection.request("POST", "/a", body=b"x" * 65536)
    assert json.loads(connection.getresponse().read()) == ["POST", "/a", 65536]
    connection.request(
        "POST", "/b", body=iter([b"abc", b"def"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert json.loads(connection.getresponse().read()) == ["POST", "/b", 6]
    connection.close()
    assert application.requests[1][2] == b"abcdef"


def test_a_client_that_waits_for_permission_gets_it(server: Served) -> None:
    with server.connect() as stream:
        stream.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert stream.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        stream.sendall(b"ab")
        assert b"200 OK" in stream.recv(1000)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 5_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000, 413),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"a" * 0x8000 + b"\r\n",
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 3
            + b"0\r\n\r\n",
            413,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\nshort", 400),
    ],
)
def test_what_is_malformed_or_too_large_never_reaches_the_application(
    server: Served, application: Application, data: bytes, code: int
) -> None:
    answer = server.raw(data + GET)
    assert codes(answer) == [code]
    assert b'"ok": false' in answer
    assert application.requests == []
    assert codes(server.raw(GET)) == [200]


def test_what_comes_before_garbage_is_served(server: Served) -> None:
    assert codes(server.raw(GET + b"garbage\r\n\r\n" + GET)) == [200, 400]


def test_a_request_that_is_cut_off_is_no_request(server: Served, application: Application) -> None:
    assert server.raw(b"GET / HTTP/1.1\r\nHost:") == b""
    assert server.raw(b"") == b""
    assert application.requests == []


def test_a_slow_head_and_a_slow_body_are_given_up(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_S", 0.05)
    with server.connect() as stream:
        stream.sendall(b"GET / HTTP/1.1\r\n")
        assert codes(read_all(stream)) == [408]
    with server.connect() as stream:
        stream.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        assert codes(read_all(stream)) == [408]
    with server.connect() as stream:
        assert read_all(stream) == b""


def test_an_idle_connection_is_closed(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_S", 0.05)
    with server.connect() as stream:
        stream.sendall(GET)
        assert codes(read_all(stream)) == [200]


def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "WRITE_S", 0.05)
    ended: list[str] = []

    def application(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 65536
        finally:
            ended.append("closed")

    with served(application) as server, server.connect() as stream:
        stream.sendall(GET)
        wait_for(lambda: ended, "the response to be given up")


def test_many_silent_connections_do_not_keep_anyone_out(application: Application) -> None:
    with served(application, limit=16) as server:
        silent = [server.connect() for _ in range(100)]
        for stream in silent:
            with contextlib.suppress(OSError):
                stream.sendall(b"GET / HT")
        for _ in range(20):
            connection = server.http()
            connection.request("GET", "/a")
            assert connection.getresponse().status == 200
            connection.close()
        assert len(server.connections) <= 16
        for stream in silent:
            stream.close()


def test_when_every_connection_is_busy_another_one_is_refused() -> None:
    def application(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        import gevent

        while True:
            yield b"."
            gevent.sleep(0.005)

    with served(application, limit=1) as server, server.connect() as stream:
        stream.sendall(GET)
        assert stream.recv(100)
        assert codes(server.raw(GET)) == [503]
        stream.close()
        wait_for(lambda: len(server.connections) == 0, "the first one to be closed")


def test_a_fault_of_the_application_is_logged_and_answered(server: Served) -> None:
    out = io.StringIO()
    logs.configure(LogSettings(format="json"), out)
    try:
        assert codes(server.raw(GET.replace(b"/x", b"/fail"))) == [500]
        wait_for(lambda: "http.failed" in out.getvalue(), "it to be logged")
    finally:
        logs.unconfigure()
    assert '"event":"http.failed"' in out.getvalue().replace(": ", ":")


def test_each_request_is_logged_at_debug_level_without_its_query(server: Served) -> None:
    out = io.StringIO()
    logs.configure(LogSettings(format="json", level="debug"), out)
    try:
        server.raw(GET.replace(b"/x", b"/x?token=secret") + b"garbage\r\n\r\n")
        wait_for(lambda: out.getvalue().count("\n") == 2, "both to be logged")
    finally:
        logs.unconfigure()
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert (first["event"], first["path"], first["status"], first["client"]) == ("http.request", "/x", 200, "127.0.0.1")
    assert second["status"] == 400
    assert "secret" not in out.getvalue()


def test_stopping_lets_a_request_end_and_closes_the_others(application: Application) -> None:
    server = Served(application)
    with server.connect() as idle, server.connect() as used:
        used.sendall(GET)
        answer = b""
        while not answer.endswith(b"0]"):
            answer += used.recv(1000)
        wait_for(lambda: not server.connections.serving, "the response to be sent")
        server.close()
        assert read_all(idle) == b""
        assert read_all(used) == b""
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 1)
