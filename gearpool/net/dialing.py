"""Opens a connection to a job server: DNS, TCP, TLS and a first ECHO, all within one deadline. Floor 2.

The caller brings the socket and ssl modules (`Modules`): a worker passes gevent's (`greenlets.modules`), a client the
standard library's, which are gevent's when the process is monkey-patched. Nothing waits past the deadline, and every
failure is a `ConnectFailed` with the cause. `greeting` explains why there is an ECHO; `async_dialing` does the same on
an asyncio loop.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any, cast

from gearpool.errors import ConnectFailed
from gearpool.net.greeting import GREETING, Greeting
from gearpool.net.modules import Modules, Resolver, look_up_number, resolve_in_thread
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


def standard() -> Modules:
    """The standard library's modules: for plain threads, and for greenlets in a monkey-patched process."""
    return Modules(socket)


def connect(server: ServerSettings, deadline: Deadline, *, modules: Modules, greet: bool = True) -> socket.socket:
    """A connected socket, without a time-out set on it, TLS done, and the server's first ECHO answered.

    Args:
        server: the server. Its name is resolved each time, and each address is tried.
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
    """Close and ignore errors; wakes a reader in another thread or greenlet."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()


def tune(sock: socket.socket, module: Any = socket) -> None:
    """Set the options that send without delay and notice a dead peer."""
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


def _resolver(modules: Modules) -> Resolver:
    monkey = sys.modules.get("gevent.monkey")
    if modules.resolve is resolve_in_thread and monkey is not None and monkey.is_module_patched("socket"):
        # What are threads elsewhere are greenlets here, and getaddrinfo would wait for gevent's shared threads.
        from gearpool.net.greenlets import resolve

        return resolve
    return modules.resolve


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
    """The error for a name that cannot be resolved."""
    if isinstance(error, TimeoutError):
        return _failed(server, "the name does not resolve: the name server did not answer in time")
    return _failed(server, describe(error))


def unreachable(server: ServerSettings, error: OSError | None) -> ConnectFailed:
    """The error for a failure to connect; None if there was no time left to try."""
    if error is None or (isinstance(error, TimeoutError) and error.errno is None):
        return _failed(server, "no answer from the host in time: it is down, or a firewall drops the packets")
    return _failed(server, describe(error))


def insecure(server: ServerSettings, error: OSError) -> ConnectFailed:
    """The error for a failed TLS handshake."""
    if isinstance(error, TimeoutError):
        return _failed(server, f"TLS: the handshake did not finish in time; perhaps {PLAIN_TEXT}")
    if isinstance(error, ConnectionError):
        return _failed(server, f"TLS: the server closed the connection in the handshake; perhaps {PLAIN_TEXT}")
    return _failed(server, describe(error))


def _failed(server: ServerSettings, reason: str) -> ConnectFailed:
    return ConnectFailed(str(server), reason)


def _dial(server: ServerSettings, deadline: Deadline, modules: Modules) -> socket.socket:
    module = modules.socket
    try:
        addresses = look_up_number(server.host, server.port)
        if not addresses:
            addresses = _resolver(modules)(module, server.host, server.port, deadline)
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
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            last = error
    raise unreachable(server, last) from last


def _secure(
    sock: socket.socket,
    server: ServerSettings,
    tls: TlsSettings,
    deadline: Deadline,
    modules: Modules,
) -> socket.socket:
    context = tls_context(server, tls, modules.ssl)
    sock.settimeout(deadline.remaining() or 0.001)
    try:
        secured = context.wrap_socket(
            sock, server_hostname=tls.server_name or server.host, do_handshake_on_connect=False
        )
    except OSError as error:
        sock.close()
        raise insecure(server, error) from error
    try:
        secured.do_handshake()
    except BaseException as error:  # a greenlet may be killed here
        secured.close()
        if isinstance(error, OSError):
            raise insecure(server, error) from error
        raise
    return cast("socket.socket", secured)


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
