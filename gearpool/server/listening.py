"""Where a server listens: ``HOST:PORT`` as text, and the sockets for it. Floor 3."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

from gevent.monkey import get_original

from gearpool.errors import InvalidArgument
from gearpool.settings import BACKLOG, DEFAULT_PORT


def parse_listen(value: str, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[v6]:PORT``, ``HOST`` or ``:PORT``; no host means every address.

    Port 0 asks for any free one.

    Raises:
        InvalidArgument: it is none of these.
    """
    host, port = value.strip(), str(default_port)
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidArgument(f"{value!r} is not an address to listen on, expected [address]:port")
        port = rest[1:] if rest else port
        bracketed = True
    else:
        bracketed = False
        if host.count(":") == 1:
            host, _, port = host.partition(":")
    if bracketed or ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError as error:
            raise InvalidArgument(f"{value!r} is not an address to listen on: {error}") from error
    if not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise InvalidArgument(f"{value!r} is not an address to listen on: the port must be 0 to 65535, got {port!r}")
    return host, int(port[:6])


def reason(error: OSError) -> str:
    """Why listening failed, as a line for the operator."""
    text = error.strerror or str(error)
    return f"{text} (another job server or program listens there)" if error.errno == errno.EADDRINUSE else text


def bind(host: str, port: int, backlog: int = BACKLOG) -> list[Any]:
    """Listening sockets, non-blocking, for every address of ``host`` (empty: all), all on one port.

    Raises:
        OSError: one of them cannot be had; then none is kept.
    """
    socket_class = get_original("socket", "socket")
    sockets: list[Any] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host or None, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
        ):
            sock = socket_class(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # "localhost" gives both families, each its own socket.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(sockets) > 1:
                sock.bind((address[0], sockets[0].getsockname()[1], *address[2:]))
            else:
                sock.bind(address)
            sock.listen(backlog)
            sock.setblocking(False)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets
