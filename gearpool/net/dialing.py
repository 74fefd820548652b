"""Opens a connection to a job server: DNS, TCP, TLS and a first ECHO, all within one deadline. Floor 2.

Law: whoever calls brings the socket and ssl modules (`Modules`): a worker passes gevent's (`greenlets.modules`), a
client the standard library's, which are gevent's when the process is monkey-patched. Nothing here waits past the
deadline, and every way to fail is a `ConnectFailed` that says which it was. `greeting` says why the ECHO;
`async_dialing` does the same on an asyncio loop.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import types
from collections.abc import Callable
from typing import Any

from gearpool.errors import ConnectFailed
from gearpool.net.greeting import GREETING, Greeting
from gearpool.net.reasons import PLAIN_TEXT, describe
from gearpool.settings import ServerSettings, TlsSettings
from gearpool.timing import Deadline

CONNECT_LIMIT_S = 10.0
"""How long connecting may take when the caller sets no end."""

KEEPALIVE_IDLE_S = 10
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_PROBES = 3
USER_TIMEOUT_MS = 25_000
"""A dead or black-holed server is noticed within 25 s, idle (10 + 3 x 5) or sending; Linux's defaults are 2 hours."""

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
        self.resolve = resolve or resolve_in_thread

    @property
    def ssl(self) -> Any:
        """The ssl module; a client of plain servers never loads it."""
        if self._ssl is None:
            import ssl

            self._ssl = ssl
        return self._ssl


def standard() -> Modules:
    """The standard library's modules: for plain threads, and for greenlets in a monkey-patched process."""
    return Modules(socket)


def connect(
    server: ServerSettings, deadline: Deadline, *, modules: Modules | types.SimpleNamespace, greet: bool = True
) -> socket.socket:
    """A connected socket, without a time-out set on it, TLS done, and the server's first ECHO answered.

    Args:
        server: whom to call. The name is resolved afresh; each address is tried in turn.
        deadline: when to give up; never means within `CONNECT_LIMIT_S`.
        modules: see `Modules`.
        greet: False leaves the ECHO out, for peers that speak only the text protocol.

    Raises:
        ConnectFailed: it did not work; ``reason`` says why.
    """
    if deadline.at == Deadline.never().at:
        deadline = Deadline.after(CONNECT_LIMIT_S)
    sock = _dial(server, deadline, modules)
    try:
        if server.tls is not None:
            sock = _secure(sock, server, server.tls, deadline, modules)
        if greet:
            _greet(sock, server, deadline)
        sock.settimeout(None)
    except BaseException:
        close(sock)
        raise
    return sock


def close(sock: socket.socket) -> None:
    """Close without complaint; wakes whoever is reading from it in another thread or greenlet."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()


def tune(sock: socket.socket, module: Any = socket) -> None:
    """Send at once, and notice a dead peer."""
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
    sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
    ):
        option = getattr(socket, name, None)
        if option is not None:  # not every system has all of them
            sock.setsockopt(module.IPPROTO_TCP, option, value)


def look_up(module: Any, host: str, port: int) -> list[Any]:
    """``getaddrinfo`` for TCP; every failure is an OSError. It has no time-out of its own."""
    try:
        return list(module.getaddrinfo(host, port, 0, module.SOCK_STREAM))
    except UnicodeError as error:  # a label that IDNA refuses
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error


def look_up_number(module: Any, host: str, port: int) -> list[Any]:
    """The same for an address in numbers, which takes no time; empty for a name."""
    try:
        return list(module.getaddrinfo(host, port, 0, module.SOCK_STREAM, 0, module.AI_NUMERICHOST))
    except (socket.gaierror, UnicodeError):
        return []


def resolve_in_thread(module: Any, host: str, port: int, deadline: Deadline) -> list[Any]:
    """``getaddrinfo`` bounded by the deadline: it has no time-out of its own, so a thread is left behind if need be.

    Raises:
        OSError: the name does not resolve, or not in time.
    """
    number = look_up_number(module, host, port)
    if number:
        return number
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


def tls_context(server: ServerSettings, tls: TlsSettings, ssl: Any) -> Any:
    """What a TLS connection to this server needs; reads its files.

    Raises:
        ConnectFailed: they cannot be loaded.
    """
    # PROTOCOL_TLS_CLIENT: TLS 1.2 at least, certificate and name verified.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(cafile=tls.ca)
        else:
            context.load_default_certs()
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        paths = ", ".join(path for path in (tls.ca, tls.cert, tls.key) if path is not None)
        raise _failed(server, f"TLS: cannot load {paths}: {describe(error).removeprefix('TLS: ')}") from error
    return context


def unresolved(server: ServerSettings, error: OSError) -> ConnectFailed:
    """What it means that the name was not resolved."""
    if isinstance(error, TimeoutError):
        return _failed(server, "the name does not resolve: the name server did not answer in time")
    return _failed(server, describe(error))


def unreachable(server: ServerSettings, error: OSError | None) -> ConnectFailed:
    """What it means that connecting failed so; None: there was no time left to try."""
    if error is None or (isinstance(error, TimeoutError) and error.errno is None):
        return _failed(server, "no answer from the host in time: it is down, or a firewall drops the packets")
    return _failed(server, describe(error))


def insecure(server: ServerSettings, error: OSError) -> ConnectFailed:
    """What it means that the TLS handshake failed so."""
    if isinstance(error, TimeoutError):
        return _failed(server, f"TLS: the handshake did not finish in time; perhaps {PLAIN_TEXT}")
    if isinstance(error, ConnectionError):
        return _failed(server, f"TLS: the server closed the connection in the handshake; perhaps {PLAIN_TEXT}")
    return _failed(server, describe(error))


def _failed(server: ServerSettings, reason: str) -> ConnectFailed:
    return ConnectFailed(str(server), reason)


def _dial(server: ServerSettings, deadline: Deadline, modules: Modules | types.SimpleNamespace) -> socket.socket:
    module = modules.socket
    resolve: Resolver = getattr(modules, "resolve", resolve_in_thread)
    try:
        addresses = resolve(module, server.host, server.port, deadline)
    except OSError as error:
        raise unresolved(server, error) from error
    last: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        # A black-holed first address must leave time for the next.
        share = deadline.remaining() / (len(addresses) - index)
        if share <= 0:
            break
        sock: socket.socket | None = None
        try:
            sock = module.socket(family, kind, protocol)
            tune(sock, module)
            sock.settimeout(share)
            sock.connect(address)
            return sock
        except OSError as error:
            last = error
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
    raise unreachable(server, last) from last


def _secure(
    sock: socket.socket,
    server: ServerSettings,
    tls: TlsSettings,
    deadline: Deadline,
    modules: Modules | types.SimpleNamespace,
) -> socket.socket:
    context = tls_context(server, tls, modules.ssl)
    sock.settimeout(deadline.remaining() or 0.001)
    try:
        secured: socket.socket = context.wrap_socket(sock, server_hostname=tls.server_name or server.host)
    except OSError as error:
        sock.close()
        raise insecure(server, error) from error
    return secured


def _greet(sock: socket.socket, server: ServerSettings, deadline: Deadline) -> None:
    greeting = Greeting(server)
    try:
        sock.settimeout(deadline.remaining() or 0.001)
        sock.sendall(GREETING)
        while True:
            sock.settimeout(deadline.remaining() or 0.001)
            if greeting.answered_by(sock.recv(4096)):
                return
    except OSError as error:
        raise greeting.failed(error) from error
