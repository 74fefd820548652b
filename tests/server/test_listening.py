"""Addresses to listen on."""

from __future__ import annotations

import socket

import pytest

from gearpool.errors import InvalidArgument
from gearpool.server.listening import bind, parse_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:4730", ("127.0.0.1", 4730)),
        ("127.0.0.1", ("127.0.0.1", 4730)),
        ("box:0", ("box", 0)),
        (":4730", ("", 4730)),
        ("[::1]:1", ("::1", 1)),
        ("[::1]", ("::1", 4730)),
        ("::1", ("::1", 4730)),
    ],
)
def test_what_is_an_address(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


def test_another_port_may_be_the_default() -> None:
    assert parse_listen("box", 9418) == ("box", 9418)
    assert parse_listen("box:1", 9418) == ("box", 1)


@pytest.mark.parametrize(
    "text", ["a:b", "a:70000", "a:-1", "a:", "[::1", "[x]:1", "[::1]x", "1:2:3", "a:" + "1" * 5000]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not an address to listen on"):
        parse_listen(text)


def test_no_host_is_every_address() -> None:
    sockets = bind("", 0)
    try:
        assert socket.AF_INET in {each.family for each in sockets}
        assert len({each.getsockname()[1] for each in sockets}) == 1
    finally:
        for each in sockets:
            each.close()


def test_a_name_that_does_not_resolve_is_an_os_error() -> None:
    with pytest.raises(socket.gaierror):
        bind("no-such-host.invalid", 0)
