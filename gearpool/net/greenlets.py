"""gevent's sockets for `dialing`: what a worker passes. Floor 2.

Law: works in a process that is not monkey-patched. gevent's resolver runs in the hub's thread pool, so a name is
looked up without a thread of ours and is bounded by a timer of the hub.
"""

from __future__ import annotations

from typing import Any

import gevent
import gevent.socket
import gevent.ssl

from gearpool.net.dialing import Modules
from gearpool.timing import Deadline


def modules() -> Modules:
    """The modules of gevent, with a look-up of names that a timer bounds."""
    return Modules(gevent.socket, gevent.ssl, _resolve)


def _resolve(module: Any, host: str, port: int, deadline: Deadline) -> list[Any]:
    with gevent.Timeout(deadline.timeout(), TimeoutError("the name server did not answer")):
        return list(module.getaddrinfo(host, port, 0, module.SOCK_STREAM))
