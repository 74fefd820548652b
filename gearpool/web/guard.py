"""What holds for every request: access, the headers of every response, and errors as JSON. Floor 3."""

from __future__ import annotations

import json
import logging
from typing import Any

import falcon

from gearpool import logs
from gearpool.web.access import Access, is_same_site
from gearpool.web.supervisor import NoAnswerError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CHALLENGE = 'Bearer realm="gearpool"'
JSON = "application/json"

log = logging.getLogger("gearpool.web")


class Guard:
    """Middleware. A resource with ``is_public = True`` is told to everyone; all others need what `Access` says."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def process_resource(self, req: falcon.Request, _resp: falcon.Response, resource: Any, _params: Any) -> None:
        """Refuse what is not allowed, before the resource sees the request."""
        if resource is None:
            return
        if req.method == "GET":
            if not getattr(resource, "is_public", False) and not self._access.may_read(req.auth):
                raise falcon.HTTPUnauthorized(description="reading needs the token", challenges=[CHALLENGE])
        elif req.method == "POST" and hasattr(resource, "on_post"):
            self._check_change(req)

    def process_response(self, _req: falcon.Request, resp: falcon.Response, _resource: Any, _succeeded: bool) -> None:
        """Set the headers that every response has."""
        resp.set_header("Content-Security-Policy", POLICY)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Referrer-Policy", "no-referrer")
        if resp.get_header("Cache-Control") is None:
            resp.set_header("Cache-Control", "no-store")
        allowed = resp.get_header("Allow")
        if allowed is not None and "GET" in allowed and "HEAD" not in allowed:
            resp.set_header("Allow", allowed.replace("GET", "GET, HEAD"))

    def _check_change(self, req: falcon.Request) -> None:
        if not self._access.is_changeable:
            raise falcon.HTTPForbidden(
                description="nothing can be changed over HTTP: the configuration has no http.token"
            )
        if not is_same_site(req.get_header("Origin"), req.get_header("Host"), req.get_header("Sec-Fetch-Site")):
            raise falcon.HTTPForbidden(description="the request comes from a page of another site")
        if not self._access.may_change(req.auth):
            raise falcon.HTTPUnauthorized(description="changing anything needs the token", challenges=[CHALLENGE])
        if (req.content_type or "").partition(";")[0].strip().lower() != JSON:
            raise falcon.HTTPUnsupportedMediaType(description=f"the content type must be {JSON}")


def install(app: falcon.App[Any, Any]) -> None:
    """Have ``app`` answer every error with ``{"ok": false, "error": TEXT}``."""
    app.set_error_serializer(_serialize)
    app.add_error_handler(NoAnswerError, _no_answer)
    app.add_error_handler(Exception, _unexpected)


def respond(resp: falcon.Response, value: Any) -> None:
    """Answer with JSON. It is pure ASCII: names that are no UTF-8 stay what they are."""
    resp.content_type = JSON
    resp.data = json.dumps(value, separators=(",", ":")).encode("ascii")


def _serialize(_req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    respond(resp, {"ok": False, "error": error.description or error.title})


def _no_answer(_req: falcon.Request, _resp: falcon.Response, error: Exception, _params: Any) -> None:
    raise falcon.HTTPServiceUnavailable(description=str(error))


def _unexpected(req: falcon.Request, _resp: falcon.Response, error: Exception, _params: Any) -> None:
    if isinstance(error, falcon.HTTPError | falcon.HTTPStatus):
        raise error
    text = f"internal error: {error!r}"
    logs.emit(log, logging.ERROR, "http.failed", text, path=req.path, exc_info=error)
    raise falcon.HTTPInternalServerError(description="internal error; see the log")
