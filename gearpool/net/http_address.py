"""Parses ``http.listen``: ``HOST:PORT``, ``[v6]:PORT``, ``HOST`` or ``unix:PATH``. Floor 2; pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gearpool.errors import InvalidArgument
from gearpool.net.addresses import parse_server

DEFAULT_HTTP_PORT = 8730
UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where the web child listens: ``host`` and ``port``, or the ``path`` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it, as far as the address tells."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path is not None:
            return f"{UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_http_address(text: str) -> HttpAddress:
    """The address in ``text``.

    Raises:
        InvalidArgument: it is none; the message says why.
    """
    text = text.strip()
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path.strip() or "\0" in path:
            raise InvalidArgument(f"{text!r}: expected the path of a socket after unix:")
        return HttpAddress(path=path)
    if "://" in text:
        raise InvalidArgument(f"{text!r}: an address to listen on has no scheme, write host:port")
    server = parse_server(text)
    bare_ipv6 = not text.startswith("[") and text.count(":") > 1
    has_port = not bare_ipv6 and ":" in text.rpartition("]")[2]
    return HttpAddress(server.host, server.port if has_port else DEFAULT_HTTP_PORT)
