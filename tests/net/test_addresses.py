"""What users write for a job server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpool.errors import InvalidArgument
from gearpool.net.addresses import parse_server, parse_servers
from gearpool.settings import ServerSettings, TlsSettings


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", 4730),
        ("10.0.0.1:4731", "10.0.0.1", 4731),
        (" mail.example.org:1 ", "mail.example.org", 1),
        ("[::1]:4731", "::1", 4731),
        ("[fe80::1]", "fe80::1", 4730),
        ("::1", "::1", 4730),
        ("gear://host:5000", "host", 5000),
        ("gear://host/", "host", 4730),
        ("my_host", "my_host", 4730),
    ],
)
def test_plain_addresses(text: str, host: str, port: int) -> None:
    assert parse_server(text) == ServerSettings(host=host, port=port)


def test_tls_by_url() -> None:
    assert parse_server("gear+tls://host") == ServerSettings(host="host", tls=TlsSettings())
    parsed = parse_server("gear+tls://[::1]:4731?ca=/a b.pem&cert=c.pem&key=k.pem&server_name=mail")
    assert parsed == ServerSettings(
        host="::1", port=4731, tls=TlsSettings(ca="/a b.pem", cert="c.pem", key="k.pem", server_name="mail")
    )


def test_tls_by_mapping() -> None:
    assert parse_server({"address": "host:1", "tls": {"ca": "a.pem"}}).tls == TlsSettings(ca="a.pem")
    assert parse_server({"address": "host:1", "tls": True}).tls == TlsSettings()
    assert parse_server({"address": "host:1", "tls": False}).tls is None
    assert parse_server({"address": "gear+tls://host"}).tls == TlsSettings()


def test_settings_pass_through() -> None:
    settings = ServerSettings(host="host")
    assert parse_server(settings) is settings


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "no host"),
        (":4730", "no host before the port"),
        ("host:", "the port must be a number, got ''"),
        ("host:4730x", "the port must be a number, got '4730x'"),
        ("host:٤", "the port must be a number"),
        ("host:0", "between 1 and 65535, got 0"),
        ("host:65536", "between 1 and 65535, got 65536"),
        ("a:b:c", "too many colons"),
        ("[::1", "[address]:port"),
        ("[::1]4730", "[address]:port"),
        ("[host]:4730", "is not an IPv6 address"),
        ("http://host", "unknown scheme 'http'"),
        ("gear://host?ca=x", "options belong to gear+tls"),
        ("gear+tls://host?cafile=x", "unknown TLS option 'cafile'"),
        ("gear+tls://host?ca=", "must be text"),
        ("gear+tls://host?key=k", "a key without a cert"),
        ("ho st", "is not a host name"),
        ("host/path", "is not a host name"),
        (4730, "expected a server"),
        ("host:" + "1" * 5000, "the port must be between 1 and 65535"),
        (None, "expected a server"),
        ({}, "needs an address"),
        ({"address": 7}, "needs an address"),
        ({"adress": "host"}, "unknown key 'adress'"),
        ({"address": "host", "tls": "yes"}, "expected ca, cert, key, server_name"),
        ({"address": "host", "tls": {"ca": 7}}, "must be text"),
    ],
)
def test_an_invalid_address_is_refused_with_the_reason(value: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_server(value)
    assert reason in str(refused.value)


def test_several_servers_by_text_or_list() -> None:
    expected = (ServerSettings(host="a", port=1), ServerSettings(host="b"))
    assert parse_servers("a:1, b,") == expected
    assert parse_servers(["a:1", {"address": "b"}]) == expected
    assert parse_servers(expected) == expected
    assert parse_servers({"address": "b"}) == expected[1:]
    assert parse_servers(expected[0]) == expected[:1]


@pytest.mark.parametrize("value", ["", " , ", [], 7, ["a", "a:4730"], "a,b:x"])
def test_no_server_or_one_twice_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        parse_servers(value)


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        server = parse_server(text)
    except InvalidArgument:
        return
    assert server.host
    assert 1 <= server.port <= 65535


@settings(deadline=None)  # a busy machine is no failure
@given(st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,2}", fullmatch=True), st.integers(1, 65535))
def test_a_servers_name_leads_back_to_it(host: str, port: int) -> None:
    server = ServerSettings(host=host, port=port)
    assert parse_server(str(server)) == server
