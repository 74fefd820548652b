"""The health checks of a platform: alive, ready, started. Floor 3.

They are for everyone, and tell no more than the reason in a line. None of them asks anybody: they judge what was published.
"""

from __future__ import annotations

from collections.abc import Callable

import falcon

from gearpool.web.published import Published

STALE_S = 10.0
"""A supervisor that has not published for this long is not alive."""

Check = Callable[[Published], str]
"""Returns what is wrong; empty if nothing is."""


def live(published: Published) -> str:
    """Never depends on a job server or a worker: restarting the daemon would not help those."""
    if published.age_s > STALE_S:
        return f"the supervisor has not responded for {published.age_s:.0f} s"
    return "the daemon has stopped" if published.status.get("state") == "stopped" else ""


def started(published: Published) -> str:
    """Whether the first workers have become ready."""
    if published.status.get("state", "starting") in {"checking", "starting"}:
        return "the workers are not ready yet"
    return live(published)


def ready(published: Published) -> str:
    """Whether some worker takes jobs and some job server is connected."""
    status = published.status
    problem = started(published)
    if problem:
        return problem
    if status["state"] in {"draining", "stopped"}:
        return "the daemon is draining"
    if status["problem"]:
        return str(status["problem"])
    return "" if any(status["servers"].values()) else "no job server is connected"


class Health:
    """One health check."""

    is_public = True

    def __init__(self, published: Published, check: Check) -> None:
        self._published = published
        self._check = check

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """200 and ``ok``, or 503 and the reason."""
        problem = self._check(self._published)
        resp.status = falcon.HTTP_503 if problem else falcon.HTTP_200
        resp.content_type = "text/plain; charset=utf-8"
        resp.text = f"{problem or 'ok'}\n"
