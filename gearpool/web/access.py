"""Decides who may read and who may change anything. Floor 3; pure.

Invariant: without ``token`` nothing can be changed; with ``read_token`` nothing is told without one of the two. Tokens are
compared in constant time.
"""

from __future__ import annotations

import hmac

from gearpool.settings import HttpSettings

_SCHEME = "bearer "


class Access:
    """The tokens of one configuration.

    Attributes:
        is_changeable: whether there is a token with which something can be changed.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._token = settings.token
        self._read_token = settings.read_token
        self.is_changeable = settings.token is not None

    def may_read(self, authorization: str | None) -> bool:
        """Whether this value of the header Authorization allows to read."""
        if self._read_token is None:
            return True
        # Both are compared, whatever the first comparison says.
        return _matches(authorization, self._read_token) | self.may_change(authorization)

    def may_change(self, authorization: str | None) -> bool:
        """Whether it allows to change something."""
        return self._token is not None and _matches(authorization, self._token)


def _matches(authorization: str | None, token: str) -> bool:
    given = authorization or ""
    if not given.lower().startswith(_SCHEME):
        return False
    return hmac.compare_digest(given[len(_SCHEME) :].strip().encode("utf-8", "surrogateescape"), token.encode())


def is_same_site(origin: str | None, host: str | None, fetch_site: str | None) -> bool:
    """Whether a request comes from our own page, or from no page at all.

    Args:
        origin: the header Origin, which browsers send with every POST.
        host: the header Host. Behind a proxy it may be another one than the browser's, so that
        fetch_site: the header Sec-Fetch-Site counts first: pages cannot set it.
    """
    if origin is None or fetch_site == "same-origin":
        return True
    scheme, separator, place = origin.partition("://")
    return bool(separator) and scheme in {"http", "https"} and host is not None and place.lower() == host.lower()
