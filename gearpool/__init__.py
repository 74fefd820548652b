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
    from gearpool.client import Client, JobStatus
    from gearpool.errors import (
        ConnectionLost,
        GearpoolError,
        JobException,
        JobFailed,
        JobTimedOut,
        NoServersAvailable,
        SubmitUnknown,
    )
    from gearpool.jobs import Abort, Draining, Job, JobTimeout, Retry, Skip
    from gearpool.worker import Worker


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'gearpool' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
