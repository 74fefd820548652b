"""Parses what users write for a job server into `ServerSettings`. Floor 2; pure.

Nothing is looked up here: `dialing` resolves a name each time it connects.

Forms: ``host``, ``host:port``, ``[v6]``, ``[v6]:port``, a bare IPv6 address, ``gear://host:port``,
``gear+tls://host:port?ca=…&cert=…&key=…&server_name=…``, and the mapping ``{address:, tls: {ca:, cert:, key:,
server_name:}}``.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from gearpool.errors import InvalidArgument
from gearpool.settings import DEFAULT_PORT, ServerSettings, TlsSettings

_TLS_KEYS = tuple(field.name for field in dataclasses.fields(TlsSettings))
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z")

ServerLike = str | Mapping[str, Any] | ServerSettings


def parse_server(value: ServerLike) -> ServerSettings:
    """One server, from a text, a mapping of the configuration file, or settings (returned as they are).

    Raises:
        InvalidArgument: it is not an address; the message says why.
    """
    if isinstance(value, ServerSettings):
        return value
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping):
        return _from_mapping(value)
    raise InvalidArgument(f'expected a server such as "127.0.0.1:{DEFAULT_PORT}", got {value!r}')


def parse_servers(value: ServerLike | Iterable[ServerLike]) -> tuple[ServerSettings, ...]:
    """One or several servers: a text with commas between them, one server, or an iterable of servers.

    Raises:
        InvalidArgument: one of them is not an address, two are the same, or there is none.
    """
    if isinstance(value, str):
        items: list[ServerLike] = [word.strip() for word in value.split(",") if word.strip()]
    elif isinstance(value, Mapping | ServerSettings):
        items = [value]
    elif isinstance(value, Iterable):
        items = list(value)
    else:
        raise InvalidArgument(f"expected servers, got {value!r}")
    if not items:
        raise InvalidArgument("no server was given")
    servers = tuple(parse_server(item) for item in items)
    seen: set[str] = set()
    for server in servers:
        if str(server) in seen:
            raise InvalidArgument(f"the server {server} was given twice")
        seen.add(str(server))
    return servers


def _from_text(text: str) -> ServerSettings:
    rest, tls = text.strip(), None
    scheme, separator, after = rest.partition("://")
    if separator:
        if scheme not in ("gear", "gear+tls"):
            raise InvalidArgument(f"{text!r}: unknown scheme {scheme!r}, expected gear:// or gear+tls://")
        rest, _, query = after.partition("?")
        rest = rest.removesuffix("/")
        options = dict(parse_qsl(query, keep_blank_values=True))
        if scheme == "gear+tls":
            tls = _tls(options, text)
        elif query:
            raise InvalidArgument(f"{text!r}: options belong to gear+tls://")
    host, port = _host_and_port(rest, text)
    return ServerSettings(host=host, port=port, tls=tls)


def _from_mapping(mapping: Mapping[str, Any]) -> ServerSettings:
    unknown = [str(key) for key in mapping if key not in ("address", "tls")]
    if unknown:
        raise InvalidArgument(f"unknown key {unknown[0]!r} of a server, expected address and tls")
    address = mapping.get("address")
    if not isinstance(address, str):
        raise InvalidArgument(f"a server needs an address (text), got {address!r}")
    server = _from_text(address)
    tls = mapping.get("tls")
    if tls is None or tls is False:
        return server
    if tls is True:
        tls = {}
    if not isinstance(tls, Mapping):
        raise InvalidArgument(f"tls of {address!r}: expected {', '.join(_TLS_KEYS)}, got {tls!r}")
    return dataclasses.replace(server, tls=_tls(tls, address))


def _tls(options: Mapping[str, Any], where: str) -> TlsSettings:
    for key, value in options.items():
        if key not in _TLS_KEYS:
            raise InvalidArgument(f"{where!r}: unknown TLS option {key!r}, expected {', '.join(_TLS_KEYS)}")
        if value is not None and (not isinstance(value, str) or not value):
            raise InvalidArgument(f"{where!r}: TLS option {key} must be text, got {value!r}")
    if options.get("key") and not options.get("cert"):
        raise InvalidArgument(f"{where!r}: a key without a cert")
    return TlsSettings(**options)


def _host_and_port(rest: str, text: str) -> tuple[str, int]:
    if not rest:
        raise InvalidArgument(f"{text!r}: no host")
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise InvalidArgument(f"{text!r}: an IPv6 address is written [address]:port")
        if not _is_ipv6(host):
            raise InvalidArgument(f"{text!r}: {host!r} is not an IPv6 address")
        return host, _port(tail[1:], text) if tail else DEFAULT_PORT
    if rest.count(":") > 1:
        if _is_ipv6(rest):
            return rest, DEFAULT_PORT
        raise InvalidArgument(f"{text!r}: too many colons; an IPv6 address is written [address]:port")
    host, colon, port = rest.partition(":")
    if not host:
        raise InvalidArgument(f"{text!r}: no host before the port")
    if not _HOST.match(host):
        raise InvalidArgument(f"{text!r}: {host!r} is not a host name")
    return host, _port(port, text) if colon else DEFAULT_PORT


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _port(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidArgument(f"{text!r}: the port must be a number, got {digits!r}")
    port = int(digits[:6])  # of thousands of digits Python makes no number
    if not 1 <= port <= 65535:
        raise InvalidArgument(f"{text!r}: the port must be between 1 and 65535, got {port}")
    return port
