"""Builds `Settings` from the given values: defaults merged into functions, paths made absolute. Floor 3."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gearpool.config.cpus import cpus
from gearpool.net.addresses import parse_server
from gearpool.net.http_address import parse_http_address
from gearpool.settings import (
    BreakerSettings,
    ControlSettings,
    DeadLetterSettings,
    EmbeddedSettings,
    FunctionSettings,
    HttpSettings,
    LogSettings,
    PoisonSettings,
    ReconnectSettings,
    RecycleSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    TlsSettings,
)

Values = dict[str, Any]

# How a key of the file is called in the settings, which carry the unit in the name.
_NAMES = {
    "timeout": "timeout_s",
    "timeout_grace": "timeout_grace_s",
    "delay": "delay_s",
    "max_delay": "max_delay_s",
    "within": "within_s",
    "pause": "pause_s",
    "rate": "rate_per_s",
    "drain_timeout": "drain_timeout_s",
    "stall_timeout": "stall_timeout_s",
    "age": "age_s",
    "memory": "memory_bytes",
}

KEY_BY_KEY = ("retry", "breaker", "poison")
"""Sections of a function that are merged with the defaults key by key: changing the attempts keeps the delays."""

_SECTIONS: dict[str, type[Any]] = {
    "retry": RetrySettings,
    "dead_letter": DeadLetterSettings,
    "breaker": BreakerSettings,
    "poison": PoisonSettings,
    "recycle": RecycleSettings,
    "log": LogSettings,
    "reconnect": ReconnectSettings,
}


def assemble(values: Values, path: Path) -> Settings:
    """The settings of the root section's ``values``, read from ``path``."""
    base = path.parent
    fields = {
        key: value
        for key, value in values.items()
        if key not in ("servers", "functions", "defaults", "embedded", "control", "processes", "http")
    }
    embedded = None
    servers: list[ServerSettings] = []
    for server in values["servers"]:
        if server == "embedded":
            embedded = _embedded(values.get("embedded", {}), base)
            server = parse_server(embedded.listen)  # noqa: PLW2901 - the word stands for that address
        servers.append(_rooted(server, base))
    defaults = values.get("defaults", {})
    functions = tuple(_function(name, given, defaults) for name, given in values["functions"].items())
    processes = values.get("processes", 1) or cpus()
    control = values.get("control", {})
    http = values.get("http")
    socket = control.get("socket")
    return Settings(
        servers=tuple(servers),
        functions=functions,
        path=str(path),
        base=str(base),
        embedded=embedded,
        processes=processes,
        http=None if http is None else _http(http, base),
        control=ControlSettings(socket=None if socket is None else str(base / socket), group=control.get("group")),
        **_renamed(fields),
    )


def _function(name: str, given: str | Values, defaults: Values) -> FunctionSettings:
    own: Values = {"handler": given} if isinstance(given, str) else given
    values = {**defaults, **own}
    for section in KEY_BY_KEY:
        if section in defaults and section in own:
            values[section] = {**defaults[section], **own[section]}
    return FunctionSettings(name=name, **_renamed(values))


def _renamed(values: Values) -> Values:
    fields: Values = {}
    for key, value in values.items():
        made = value
        if key in _SECTIONS:
            made = _SECTIONS[key](**_renamed(value))
        elif key == "memory":
            made = int(value)
        fields[_NAMES.get(key, key)] = made
    return fields


def _embedded(given: Values, base: Path) -> EmbeddedSettings:
    settings = EmbeddedSettings(**given)
    if settings.store != "memory":
        settings = dataclasses.replace(settings, store=str(base / settings.store))
    return settings


def _http(given: Values, base: Path) -> HttpSettings:
    settings = HttpSettings(**given)
    address = parse_http_address(settings.listen)
    if address.path is not None:
        address = dataclasses.replace(address, path=str(base / address.path))
    return dataclasses.replace(settings, listen=str(address))


def _rooted(server: ServerSettings, base: Path) -> ServerSettings:
    tls = server.tls
    if tls is None:
        return server
    files = {name: str(base / path) for name in ("ca", "cert", "key") if (path := getattr(tls, name)) is not None}
    return dataclasses.replace(server, tls=TlsSettings(**files, server_name=tls.server_name))
