"""The embedded job server. Floor 3. A pure core, bytes in and bytes out, in a thin shell of sockets.

`records` are jobs, queues and peers, `ledger` moves jobs, `clients`, `workers` and `admin` answer the three kinds of
requests, `core` puts them together; none of these knows gevent, sockets or a clock. `pacing` limits the work that a
connection may cause before others are served, `memory_use` its memory. `shell` is the `JobServer`, `accepting` its
listening sockets, `connections` each accepted one, and `store` keeps background jobs on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gearpool.server.shell import JobServer

__all__ = ["JobServer"]


def __getattr__(name: str) -> Any:
    # The pure core is imported without gevent.
    if name == "JobServer":
        from gearpool.server.shell import JobServer

        return JobServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
