from __future__ import annotations

import pytest

from gearpool.errors import InvalidArgument
from gearpool.net.http_address import HttpAddress, parse_http_address


@pytest.mark.parametrize(
    ("text", "expected", "shown", "is_local"),
    [
        ("127.0.0.1:8080", HttpAddress("127.0.0.1", 8080), "127.0.0.1:8080", True),
        ("127.0.0.1", HttpAddress("127.0.0.1", 8730), "127.0.0.1:8730", True),
        ("localhost:80", HttpAddress("localhost", 80), "localhost:80", True),
        ("0.0.0.0:8730", HttpAddress("0.0.0.0", 8730), "0.0.0.0:8730", False),
        ("example.com", HttpAddress("example.com", 8730), "example.com:8730", False),
        ("[::1]:80", HttpAddress("::1", 80), "[::1]:80", True),
        ("[::]", HttpAddress("::", 8730), "[::]:8730", False),
        ("::1", HttpAddress("::1", 8730), "[::1]:8730", True),
        ("unix:/run/gearpool.http", HttpAddress(path="/run/gearpool.http"), "unix:/run/gearpool.http", True),
        ("unix:web.sock", HttpAddress(path="web.sock"), "unix:web.sock", True),
    ],
)
def test_the_forms_of_an_address(text: str, expected: HttpAddress, shown: str, is_local: bool) -> None:
    found = parse_http_address(text)
    assert found == expected
    assert str(found) == shown
    assert found.is_local is is_local


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "unix:  ", "unix:a\0b", "http://localhost:80", ":8730", "localhost:0", "localhost:70000", "a b"],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_http_address(text)
