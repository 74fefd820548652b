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
    "ConfigurationError": "gearpool.errors",
    "ConnectFailed": "gearpool.errors",
    "ConnectionLost": "gearpool.errors",
    "Data": "gearpool.client",
    "Draining": "gearpool.jobs",
    "Event": "gearpool.client",
    "EventsDropped": "gearpool.errors",
    "FunctionRow": "gearpool.protocol.admin",
    "GearpoolError": "gearpool.errors",
    "Interrupt": "gearpool.jobs",
    "InvalidArgument": "gearpool.errors",
    "Job": "gearpool.jobs",
    "JobCancelled": "gearpool.errors",
    "JobError": "gearpool.errors",
    "JobException": "gearpool.errors",
    "JobFailed": "gearpool.errors",
    "JobFuture": "gearpool.client",
    "JobHandle": "gearpool.client",
    "JobRow": "gearpool.protocol.admin",
    "JobStatus": "gearpool.client",
    "JobTimedOut": "gearpool.errors",
    "JobTimeout": "gearpool.jobs",
    "Killed": "gearpool.jobs",
    "LocalProtocolError": "gearpool.errors",
    "NoServersAvailable": "gearpool.errors",
    "PriorityRow": "gearpool.protocol.admin",
    "Progress": "gearpool.client",
    "ProtocolError": "gearpool.errors",
    "RemoteProtocolError": "gearpool.errors",
    "Replies": "gearpool.client",
    "Retry": "gearpool.jobs",
    "ServerError": "gearpool.errors",
    "Skip": "gearpool.jobs",
    "SubmitUnknown": "gearpool.errors",
    "TimedOut": "gearpool.errors",
    "UndecodableResult": "gearpool.errors",
    "UsageError": "gearpool.errors",
    "Warned": "gearpool.client",
    "Worker": "gearpool.worker",
    "WorkerRow": "gearpool.protocol.admin",
}

__all__ = [  # noqa: PLE0604 - the names are loaded on demand
    "__version__",
    *_HOMES,
]

if TYPE_CHECKING:
    # "as" exports them to type checkers, which do not see through a computed __all__.
    from gearpool.client import Client as Client
    from gearpool.client import Data as Data
    from gearpool.client import Event as Event
    from gearpool.client import JobFuture as JobFuture
    from gearpool.client import JobHandle as JobHandle
    from gearpool.client import JobStatus as JobStatus
    from gearpool.client import Progress as Progress
    from gearpool.client import Replies as Replies
    from gearpool.client import Warned as Warned
    from gearpool.client.aio import AsyncClient as AsyncClient
    from gearpool.client.aio import AsyncJob as AsyncJob
    from gearpool.errors import ConfigurationError as ConfigurationError
    from gearpool.errors import ConnectFailed as ConnectFailed
    from gearpool.errors import ConnectionLost as ConnectionLost
    from gearpool.errors import EventsDropped as EventsDropped
    from gearpool.errors import GearpoolError as GearpoolError
    from gearpool.errors import InvalidArgument as InvalidArgument
    from gearpool.errors import JobCancelled as JobCancelled
    from gearpool.errors import JobError as JobError
    from gearpool.errors import JobException as JobException
    from gearpool.errors import JobFailed as JobFailed
    from gearpool.errors import JobTimedOut as JobTimedOut
    from gearpool.errors import LocalProtocolError as LocalProtocolError
    from gearpool.errors import NoServersAvailable as NoServersAvailable
    from gearpool.errors import ProtocolError as ProtocolError
    from gearpool.errors import RemoteProtocolError as RemoteProtocolError
    from gearpool.errors import ServerError as ServerError
    from gearpool.errors import SubmitUnknown as SubmitUnknown
    from gearpool.errors import TimedOut as TimedOut
    from gearpool.errors import UndecodableResult as UndecodableResult
    from gearpool.errors import UsageError as UsageError
    from gearpool.jobs import Abort as Abort
    from gearpool.jobs import Draining as Draining
    from gearpool.jobs import Interrupt as Interrupt
    from gearpool.jobs import Job as Job
    from gearpool.jobs import JobTimeout as JobTimeout
    from gearpool.jobs import Killed as Killed
    from gearpool.jobs import Retry as Retry
    from gearpool.jobs import Skip as Skip
    from gearpool.protocol.admin import FunctionRow as FunctionRow
    from gearpool.protocol.admin import JobRow as JobRow
    from gearpool.protocol.admin import PriorityRow as PriorityRow
    from gearpool.protocol.admin import WorkerRow as WorkerRow
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
