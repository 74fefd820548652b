"""Checks the head of an HTTP/1 request strictly, before pywsgi parses it. Floor 3; pure.

What two programs could read differently (a proxy and this server) is refused: RFC 9112, sections 2.2, 3, 5 and 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD = 16 * 1024
"""Bytes of the request line and all headers."""
MAX_BODY = 64 * 1024

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) HTTP/(1\.[01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t !-~\x80-\xff]*)")
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type", b"origin"})


class BadRequestError(Exception):
    """The request cannot be served; ``status`` is the HTTP status code."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head. ``line`` is the request line for pywsgi, ``headers`` the header lines with the empty line."""

    line: str
    headers: bytes
    length: int
    is_chunked: bool


def check(data: bytes) -> Head:
    """The head in ``data``, which ends with an empty line.

    Raises:
        BadRequestError: it is malformed, or ambiguous, or its body is too large.
    """
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _LINE.fullmatch(first)
    if match is None:
        raise BadRequestError(400, "the request line is malformed")
    method, target, version = match.groups()
    if absolute := _ABSOLUTE.match(target):
        target = target[absolute.end() :] or b"/"
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        raise BadRequestError(400, "the request target must be a path")
    headers = _headers(lines)
    if b"host" not in headers and version == b"1.1":
        raise BadRequestError(400, "the header Host is missing")
    coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if coding is not None and (coding.lower() != b"chunked" or length is not None or version == b"1.0"):
        raise BadRequestError(400, "the body's length is ambiguous")
    if length is not None and not (length.isdigit() and len(length) < 20):
        raise BadRequestError(400, "Content-Length must be a number")
    size = int(length or 0)
    if size > MAX_BODY:
        raise BadRequestError(413, f"a body may have at most {MAX_BODY} bytes")
    line = b" ".join([method, target, b"HTTP/" + version]).decode("ascii")
    return Head(line, b"\r\n".join([*lines, b"", b""]), size, coding is not None)


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise BadRequestError(400, "a header is malformed")
        name, value = match[1].lower(), match[2].strip()
        if name in headers and name in _ONCE:
            raise BadRequestError(400, f"the header {name.decode()} is given twice")
        headers[name] = value
    return headers
