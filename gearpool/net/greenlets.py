"""gevent's sockets for `dialing`, and names looked up without gevent's shared threads. Floor 2.

It works in a process that is not monkey-patched. A name is looked up in a thread of our own, and concurrent look-ups of the
same name share the answer: a name server that does not answer occupies one thread per server name, and handlers that fill
the hub's thread pool do not delay a reconnect.
"""

from __future__ import annotations

import _socket
from typing import Any

import gevent
import gevent.resolver.thread
import gevent.socket
import gevent.ssl
from gevent.event import AsyncResult
from gevent.hub import get_hub
from gevent.monkey import get_original

from gearpool.net.modules import Modules, look_up
from gearpool.net.thread_pools import ThreadsOfOurOwn
from gearpool.timing import Deadline

LOOK_UPS_AT_ONCE = 8
"""Concurrent name look-ups. When this many job servers hang in DNS, another has to wait."""

# By native thread, as hubs are. The original class: after patching, ``threading.local`` would be by greenlet.
_here: Any = get_original("threading", "local")()


def modules() -> Modules:
    """The modules of gevent, with a name look-up that has a timeout."""
    return Modules(gevent.socket, gevent.ssl, resolve)


def resolve(module: Any, host: str, port: int, deadline: Deadline) -> list[Any]:
    """``getaddrinfo`` within the deadline; other greenlets run meanwhile.

    A resolver other than gevent's default (``GEVENT_RESOLVER=ares`` or ``dnspython``) needs no thread and is used as it is.

    Raises:
        OSError: the name does not resolve, or not in time.
    """
    with gevent.Timeout(deadline.timeout(), TimeoutError("the name server did not answer")):
        if get_hub().resolver_class is not gevent.resolver.thread.Resolver:
            return list(module.getaddrinfo(host, port, 0, module.SOCK_STREAM))
        look_ups = getattr(_here, "look_ups", None)
        if look_ups is None:
            look_ups = _here.look_ups = _LookUps()
        return look_ups.ask(host, port)


class _LookUps:
    """The look-ups under way in one native thread's event loop."""

    def __init__(self) -> None:
        self._threads = ThreadsOfOurOwn(LOOK_UPS_AT_ONCE)
        self._under_way: dict[tuple[Any, str, int], AsyncResult] = {}

    def ask(self, host: str, port: int) -> list[Any]:
        key = get_hub(), host, port  # look-ups of a forked child's parent are never answered here
        answer = self._under_way.get(key)
        if answer is None:
            answer = self._threads.start(look_up, _socket, host, port)
            self._under_way[key] = answer
            answer.rawlink(lambda _: self._under_way.pop(key, None))
        addresses, error = answer.get()
        if error is not None:
            raise error
        return list(addresses)
