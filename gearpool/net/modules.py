"""Where sockets come from, and how a name becomes addresses within a deadline. Floor 2; stdlib only.

A literal address is never looked up, so it needs no thread and cannot block.
"""

from __future__ import annotations

import _socket
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

from gearpool.timing import Deadline

Resolver = Callable[[Any, str, int, Deadline], list[Any]]


class Modules:
    """The modules sockets come from, and how a name is resolved without waiting past a deadline.

    Args:
        socket: the standard library's ``socket`` or ``gevent.socket``.
        ssl: ``ssl`` or ``gevent.ssl``; None: the standard library's, imported when first needed.
        resolve: called with (socket module, host, port, deadline), returns what getaddrinfo does.
    """

    def __init__(self, socket: Any, ssl: Any = None, resolve: Resolver | None = None) -> None:
        self.socket = socket
        self._ssl = ssl
        self.resolve: Resolver = resolve or resolve_in_thread

    @property
    def ssl(self) -> Any:
        """The ssl module; a client of plain servers never loads it."""
        if self._ssl is None:
            import ssl

            self._ssl = ssl
        return self._ssl


def look_up_number(host: str, port: int) -> list[Any]:
    """What getaddrinfo says of an IPv4 or IPv6 address, at once; empty for a name."""
    try:
        # The C function: in a monkey-patched process ``socket.getaddrinfo`` uses a thread even for an address.
        return list(_socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST))
    except (OSError, UnicodeError):
        return []


def look_up(module: Any, host: str, port: int) -> list[Any]:
    """``getaddrinfo`` for TCP; may block for as long as the name servers are silent.

    Raises:
        OSError: the name does not resolve.
    """
    try:
        return list(module.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
    except UnicodeError as error:  # a label that IDNA refuses
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error


def resolve_in_thread(module: Any, host: str, port: int, deadline: Deadline) -> list[Any]:
    """``getaddrinfo`` bounded by the deadline: it has no timeout of its own, so a thread may be left behind.

    Raises:
        OSError: the name does not resolve, or not in time.
    """
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def answer_for() -> None:
        try:
            answers.put(look_up(module, host, port))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=answer_for, name=f"gearpool-resolve-{host}", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.timeout())
    except queue.Empty:
        raise TimeoutError(f"the name server did not answer for {host}") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
