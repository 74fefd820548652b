"""The application: which resource is served under which path. Floor 3."""

from __future__ import annotations

from typing import Any

import falcon

from gearpool.settings import HttpSettings
from gearpool.web import dead_letters, guard, health, reading
from gearpool.web.access import Access
from gearpool.web.effective import Effective
from gearpool.web.openapi import Description
from gearpool.web.scraping import Metrics, Queues
from gearpool.web.site import Site
from gearpool.web.static_files import StaticFiles, read_files
from gearpool.web.steering import ACTIONS, Steer


def make_app(site: Site) -> falcon.App[Any, Any]:
    """The WSGI application for ``site``."""
    app = falcon.App(middleware=[guard.Guard(Access(site.settings.http or HttpSettings()))])
    guard.install(app)
    for path, resource in _resources(site).items():
        app.add_route(path, resource)
    return app


def _resources(site: Site) -> dict[str, Any]:
    files = StaticFiles(read_files())
    return {
        "/": files,
        "/static/{name}": files,
        "/livez": health.Health(site.published, health.live),
        "/readyz": health.Health(site.published, health.ready),
        "/startupz": health.Health(site.published, health.started),
        "/metrics": Metrics(site.published, site.poller),
        "/api": Description(),
        "/api/status": reading.Status(site),
        "/api/failures": reading.Failures(site),
        "/api/jobs": reading.Jobs(site),
        "/api/queues": Queues(site.poller),
        "/api/history": reading.Hour(site),
        "/api/view": reading.View(site),
        "/api/events": reading.Events(site),
        "/api/settings": Effective(site),
        "/api/dead-letters": dead_letters.DeadLetters(site.letters),
        "/api/dead-letters/retry": dead_letters.ChangeDeadLetters(site, retry=True),
        "/api/dead-letters/drop": dead_letters.ChangeDeadLetters(site, retry=False),
        **{f"/api/{name}": Steer(site.supervisor, action) for name, action in ACTIONS.items()},
    }
