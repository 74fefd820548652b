"""The application of `gearpool exporter`: metrics of job servers, and health checks. Floor 3.

It is alive as long as it answers, and ready once each server was asked once. A job server that is down changes neither:
that is what ``gearman_up`` tells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from gearpool.web.exposition import Family, build_info, expose
from gearpool.web.queues import QueuePoller

StartResponse = Callable[[str, list[tuple[str, str]]], object]

_TEXT = "text/plain; charset=utf-8"


class Exporter:
    """A WSGI application.

    Args:
        poller: knows the job servers.
    """

    def __init__(self, poller: QueuePoller) -> None:
        self._poller = poller
        self._pages = {"/metrics": self._metrics, "/livez": self._livez, "/readyz": self._readyz}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        """Answer a request."""
        page = self._pages.get(environ["PATH_INFO"])
        more: list[tuple[str, str]] = []
        if page is None:
            status, kind, body = _error(404, f"there is no such page; there are {', '.join(self._pages)}")
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, kind, body = _error(405, "only GET is served")
            more = [("Allow", "GET, HEAD")]
        else:
            status, kind, body = page(environ.get("HTTP_ACCEPT", ""))
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")]
        start_response(f"{status} {HTTPStatus(status).phrase}", [*headers, ("Cache-Control", "no-store"), *more])
        return [body]

    def _metrics(self, accept: str) -> tuple[int, str, bytes]:
        body, kind = expose(self._families, accept)
        return 200, kind, body

    def _families(self) -> Iterator[Family]:
        yield build_info()
        yield from self._poller.families()

    def _livez(self, accept: str) -> tuple[int, str, bytes]:
        del accept
        return 200, _TEXT, b"ok\n"

    def _readyz(self, accept: str) -> tuple[int, str, bytes]:
        del accept
        if self._poller.asked:
            return 200, _TEXT, b"ok\n"
        return 503, _TEXT, b"not every job server has been asked yet\n"


def _error(status: int, reason: str) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps({"ok": False, "error": reason}).encode()
