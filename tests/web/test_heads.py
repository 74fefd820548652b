from __future__ import annotations

import pytest

from gearpool.web.heads import BadRequestError, check


def head(first: str = "GET /livez HTTP/1.1", *headers: str, host: bool = True) -> bytes:
    lines = [first, *(["Host: a"] if host else []), *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("first", "line"),
    [
        ("GET /livez HTTP/1.1", "GET /livez HTTP/1.1"),
        ("GET http://pool:80/livez?a=http://b HTTP/1.1", "GET /livez?a=http://b HTTP/1.1"),
        ("GET HTTP://pool HTTP/1.1", "GET / HTTP/1.1"),
        ("GET /a?u=http://b/c HTTP/1.1", "GET /a?u=http://b/c HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
    ],
)
def test_request_lines(first: str, line: str) -> None:
    assert check(head(first)).line == line


def test_http_1_0_needs_no_host() -> None:
    assert check(head("GET / HTTP/1.0", host=False)).headers == b"\r\n"


def test_the_length_of_a_body() -> None:
    assert check(head("POST / HTTP/1.1", "Content-Length: 5")).length == 5
    chunked = check(head("POST / HTTP/1.1", "Transfer-Encoding: Chunked"))
    assert (chunked.length, chunked.is_chunked) == (0, True)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        head("GET /"),
        head("GET  / HTTP/1.1"),
        head("GET / HTTP/2.0"),
        head("GET / HTTP/1.1 "),
        head("GET /\t HTTP/1.1"),
        head("GET /\xe4 HTTP/1.1"),
        head("GET livez HTTP/1.1"),
        head("GET * HTTP/1.1"),
        head("G=T / HTTP/1.1"),
        head(f"{'G' * 33} / HTTP/1.1"),
        head(host=False),
        head("GET / HTTP/1.1", "Host: b"),
        head("GET / HTTP/1.1", "no colon"),
        head("GET / HTTP/1.1", "Name : value"),
        head("GET / HTTP/1.1", " folded: value"),
        head("GET / HTTP/1.1", "A: b\rc"),
        head("GET / HTTP/1.1", "A: b\nc: d"),
        head("GET / HTTP/1.1", "A: \0"),
        head("POST / HTTP/1.1", "Content-Length: -1"),
        head("POST / HTTP/1.1", "Content-Length: +1"),
        head("POST / HTTP/1.1", "Content-Length: 1, 1"),
        head("POST / HTTP/1.1", "Content-Length: "),
        head("POST / HTTP/1.1", "Content-Length: " + "0" * 30),
        head("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 1"),
        head("POST / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"),
        head("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
        head("POST / HTTP/1.0", "Transfer-Encoding: chunked"),
        head("GET / HTTP/1.1", "Authorization: Bearer a", "Authorization: Bearer b"),
    ],
)
def test_what_is_malformed_or_ambiguous_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError) as refused:
        check(data)
    assert refused.value.status == 400


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadRequestError) as refused:
        check(head("POST / HTTP/1.1", "Content-Length: 65537"))
    assert refused.value.status == 413
