"""Tools for tests, of applications and of gearpool itself. Floor 5.

`run_job` runs one handler without any server; `job_server` is a real job server inside the test process, with scripted
``faults``; `working` is a worker beside it. With pytest they are fixtures, see `plugin`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Faults": "gearpool.testing.faults",
    "JobResult": "gearpool.testing.handlers",
    "ThreadedJobServer": "gearpool.testing.servers",
    "ThreadedWorker": "gearpool.testing.workers",
    "job_server": "gearpool.testing.servers",
    "run_job": "gearpool.testing.handlers",
    "working": "gearpool.testing.workers",
}

__all__ = [  # noqa: PLE0604 - the names are loaded on demand
    *_HOMES,
]

if TYPE_CHECKING:
    # "as" exports them to type checkers, which do not see through a computed __all__.
    from gearpool.testing.faults import Faults as Faults
    from gearpool.testing.handlers import JobResult as JobResult
    from gearpool.testing.handlers import run_job as run_job
    from gearpool.testing.servers import ThreadedJobServer as ThreadedJobServer
    from gearpool.testing.servers import job_server as job_server
    from gearpool.testing.workers import ThreadedWorker as ThreadedWorker
    from gearpool.testing.workers import working as working


def __getattr__(name: str) -> Any:
    # The pytest plugin is in this package, and every test run loads it: gevent only when something is used.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
