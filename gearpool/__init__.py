"""gearpool: Python functions as Gearman workers, with a client, a worker library and an embedded job server.

The names below are loaded when they are first used: ``import gearpool.supervisor`` must not load gevent, and
``gearpool ping`` starts in a few milliseconds. A test holds it so.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gearpool.version import __version__ as __version__

_NAMES = {
    "gearpool.client": (
        "Client", "Data", "Event", "JobFuture", "JobHandle", "JobStatus", "Progress", "Replies", "Warned",
    ),
    "gearpool.client.aio": ("AsyncClient", "AsyncJob"),
    "gearpool.errors": (
        "ConfigurationError", "ConnectFailed", "ConnectionLost", "EventsDropped", "GearpoolError", "InvalidArgument",
        "JobCancelled", "JobError", "JobException", "JobFailed", "JobTimedOut", "LocalProtocolError",
        "NoServersAvailable", "ProtocolError", "RemoteProtocolError", "ServerError", "SubmitUnknown", "TimedOut",
        "UndecodableResult", "UsageError",
    ),
    "gearpool.jobs": ("Abort", "Draining", "Interrupt", "Job", "JobTimeout", "Killed", "Retry", "Skip"),
    "gearpool.protocol.admin": ("FunctionRow", "JobRow", "PriorityRow", "WorkerRow"),
    "gearpool.worker": ("Worker",),
}  # fmt: skip

_HOMES = {name: home for home, names in _NAMES.items() for name in names}

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
