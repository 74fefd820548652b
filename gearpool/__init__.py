"""gearpool: Python functions as Gearman workers, with a client, a worker library and an embedded job server.

The names below are loaded when they are first used: ``import gearpool.supervisor`` must not load gevent, and
``gearpool ping`` starts in a few milliseconds. A test holds it so.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Abort": "gearpool.jobs",
    "AsyncClient": "gearpool.client.aio",
    "AsyncJob": "gearpool.client.aio",
    "Client": "gearpool.client",
    "Draining": "gearpool.jobs",
    "GearpoolError": "gearpool.errors",
    "Job": "gearpool.jobs",
    "JobException": "gearpool.errors",
    "JobFailed": "gearpool.errors",
    "JobStatus": "gearpool.client",
    "JobTimedOut": "gearpool.errors",
    "JobTimeout": "gearpool.jobs",
    "ConnectionLost": "gearpool.errors",
    "NoServersAvailable": "gearpool.errors",
    "Retry": "gearpool.jobs",
    "Skip": "gearpool.jobs",
    "SubmitUnknown": "gearpool.errors",
    "Worker": "gearpool.worker",
}

__all__ = [  # noqa: PLE0604 - the names are loaded on demand
    "__version__",
    *_HOMES,
]

if TYPE_CHECKING:
    # "as" exports them to type checkers, which do not see through a computed __all__.
    from gearpool.client import Client as Client
    from gearpool.client import JobStatus as JobStatus
    from gearpool.client.aio import AsyncClient as AsyncClient
    from gearpool.client.aio import AsyncJob as AsyncJob
    from gearpool.errors import ConnectionLost as ConnectionLost
    from gearpool.errors import GearpoolError as GearpoolError
    from gearpool.errors import JobException as JobException
    from gearpool.errors import JobFailed as JobFailed
    from gearpool.errors import JobTimedOut as JobTimedOut
    from gearpool.errors import NoServersAvailable as NoServersAvailable
    from gearpool.errors import SubmitUnknown as SubmitUnknown
    from gearpool.jobs import Abort as Abort
    from gearpool.jobs import Draining as Draining
    from gearpool.jobs import Job as Job
    from gearpool.jobs import JobTimeout as JobTimeout
    from gearpool.jobs import Retry as Retry
    from gearpool.jobs import Skip as Skip
    from gearpool.worker import Worker as Worker


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'gearpool' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
