from __future__ import annotations

import pytest

from gearpool.settings import HttpSettings
from gearpool.web.access import Access, is_same_site

BOTH = Access(HttpSettings(token="change", read_token="look"))


@pytest.mark.parametrize(
    ("authorization", "may_read", "may_change"),
    [
        ("Bearer change", True, True),
        ("bearer  change ", True, True),
        ("Bearer look", True, False),
        ("Bearer chang", False, False),
        ("Bearer changed", False, False),
        ("Bearer ", False, False),
        ("change", False, False),
        ("Basic change", False, False),
        ("Bearer \udcff", False, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_each_token_allows_its_own(authorization: str | None, may_read: bool, may_change: bool) -> None:
    assert BOTH.may_read(authorization) is may_read
    assert BOTH.may_change(authorization) is may_change


def test_without_a_token_nothing_can_be_changed() -> None:
    access = Access(HttpSettings(read_token="look"))
    assert not access.is_changeable
    assert not access.may_change("Bearer look")
    assert not access.may_change("Bearer None")
    assert not access.may_change("Bearer ")


def test_without_a_read_token_everyone_may_read() -> None:
    access = Access(HttpSettings(token="change"))
    assert access.may_read(None)
    assert not access.may_change(None)


@pytest.mark.parametrize(
    ("origin", "host", "fetch_site", "expected"),
    [
        (None, "pool:8730", None, True),
        ("http://pool:8730", "pool:8730", None, True),
        ("https://Pool", "pool", None, True),
        ("http://evil", "pool:8730", None, False),
        ("http://pool:8731", "pool:8730", None, False),
        ("null", "pool:8730", None, False),
        ("null", "null", None, False),
        ("ftp://pool", "pool", None, False),
        ("http://pool", None, None, False),
        ("https://outside", "127.0.0.1:8730", "same-origin", True),
        ("https://outside", "127.0.0.1:8730", "same-site", False),
        ("https://outside", "127.0.0.1:8730", "cross-site", False),
    ],
)
def test_only_our_own_page_may_change_something(
    origin: str | None, host: str | None, fetch_site: str | None, expected: bool
) -> None:
    assert is_same_site(origin, host, fetch_site) is expected
