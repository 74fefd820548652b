"""What can be read: the resources of GET, apart from health checks, files, metrics and queues. Floor 3."""

from __future__ import annotations

import falcon

from gearpool.web.feed import TooManyListenersError
from gearpool.web.guard import respond
from gearpool.web.server import HEAD_ONLY
from gearpool.web.site import Site


class _OfTheSite:
    def __init__(self, site: Site) -> None:
        self._site = site

    def _need_status(self) -> None:
        if not self._site.published.status:
            raise falcon.HTTPServiceUnavailable(description="the daemon has not published anything yet")


class Status(_OfTheSite):
    """GET /api/status: what was published last, at most a second ago."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The status; 503 before the first."""
        self._need_status()
        respond(resp, self._site.published.status)


class Failures(_OfTheSite):
    """GET /api/failures."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The groups of failures and stalls."""
        respond(resp, self._site.published.failures)


class Jobs(_OfTheSite):
    """GET /api/jobs: asks the workers; of one that is blocked it tells the job on its CPU."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The jobs in progress."""
        respond(resp, self._site.jobs())


class Hour(_OfTheSite):
    """GET /api/history."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """An overview, or everything of one function."""
        function = req.get_param("function")
        history = self._site.history
        found = history.overview() if function is None else history.of(function)
        if found is None and function in self._site.published.status.get("functions", ()):
            found = history.empty()  # it is only about to be recorded
        if found is None:
            raise falcon.HTTPNotFound(description=f"function {function!r} has no history")
        respond(resp, found)


class View(_OfTheSite):
    """GET /api/view: what the first event of /api/events has, for a dashboard that cannot receive events."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The document of now."""
        self._need_status()
        respond(resp, self._site.document())


class Events(_OfTheSite):
    """GET /api/events: server-sent events, see `gearpool.web.feed`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A stream that does not end by itself."""
        self._need_status()
        resp.content_type = "text/event-stream"
        resp.set_header("X-Accel-Buffering", "no")  # nginx would wait for more
        if req.env.get(HEAD_ONLY):
            return
        try:
            resp.stream = self._site.feed.listen()
        except TooManyListenersError as error:
            raise falcon.HTTPServiceUnavailable(description=str(error)) from error
