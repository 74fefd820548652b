"""What a monitoring system reads: metrics, and the queues of the job servers. Floor 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import falcon

from gearpool.status import DaemonStatus
from gearpool.web.exposition import Family, build_info, expose
from gearpool.web.guard import respond
from gearpool.web.metrics import families
from gearpool.web.published import Published
from gearpool.web.queues import QueuePoller


class Metrics:
    """GET /metrics: the daemon's and the job servers'."""

    def __init__(self, published: Published, poller: QueuePoller) -> None:
        self._published = published
        self._poller = poller

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The metrics in the format that the request accepts."""
        resp.data, resp.content_type = expose(self._families, req.get_header("Accept") or "")

    def _families(self) -> Iterator[Family]:
        status = self._published.status
        if status:
            yield from families(cast("DaemonStatus", status))
        else:
            yield build_info()
        yield from self._poller.families()


class Queues:
    """GET /api/queues."""

    def __init__(self, poller: QueuePoller) -> None:
        self._poller = poller

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """What every job server answered last."""
        respond(resp, self._poller.snapshot())
