"""Opens a connection to a job server on the running asyncio loop, without blocking it, like `dialing` for threads. Floor 2.

The loop's default executor belongs to the application, so names are looked up and TLS files read in a daemon thread of
our own, and only where there is a name or TLS. Nothing waits past the deadline, and every failure is a `ConnectFailed`
that has the cause.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from gearpool.net.dialing import CONNECT_LIMIT_S, insecure, tls_context, tune, unreachable, unresolved
from gearpool.net.greeting import GREETING, Greeting
from gearpool.net.modules import Modules, look_up, look_up_number, resolve_in_thread
from gearpool.settings import ServerSettings
from gearpool.timing import Deadline

_T = TypeVar("_T")

TLS_SHUTDOWN_S = 1.0
"""How long a closing TLS connection waits for the peer's close_notify; asyncio's default is 30 s."""


class Inbox(asyncio.Protocol):
    """What a peer sends, for one coroutine that waits for it. For short exchanges only: nothing limits what it holds."""

    def __init__(self) -> None:
        self._received: deque[bytes] = deque()
        self._over = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received.append(data)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._over, self._error = True, exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            OSError: the connection broke.
        """
        while not self._received:
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._received.popleft()


async def connect(
    server: ServerSettings, deadline: Deadline, *, modules: Modules, greet: bool = True
) -> tuple[asyncio.Transport, Inbox]:
    """A connection, TLS done, and the server's first ECHO answered. ``transport.set_protocol`` passes it on.

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
    addresses = await _resolve(server, deadline, modules)
    context = None
    if server.tls is not None:
        tls = server.tls
        try:
            async with asyncio.timeout(deadline.timeout()):
                context = await in_thread(lambda: tls_context(server, tls, modules.ssl), f"gearpool-tls-{server}")
        except TimeoutError as error:
            raise insecure(server, error) from error
    sock = await _dial(server, deadline, addresses)
    transport, inbox = await _open(server, deadline, sock, context)
    try:
        if greet:
            await _greet(server, deadline, transport, inbox)
    except BaseException:
        transport.abort()
        raise
    return transport, inbox


async def in_thread(call: Callable[[], _T], name: str) -> _T:
    """``call()`` in a daemon thread of its own: what may block, yet must keep neither the loop nor the exit waiting."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_T] = loop.create_future()

    def tell(result: _T | None, error: BaseException | None) -> None:
        if answer.done():  # the caller has given up
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def run() -> None:
        result, failed = None, None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
            failed = error
        try:
            loop.call_soon_threadsafe(tell, result, failed)
        except RuntimeError:
            return  # the loop was closed meanwhile

    threading.Thread(target=run, name=name, daemon=True).start()
    return await answer


async def _resolve(server: ServerSettings, deadline: Deadline, modules: Modules) -> list[Any]:
    host, port, module, resolve = server.host, server.port, modules.socket, modules.resolve

    def answer() -> list[Any]:
        if resolve is resolve_in_thread:  # this is a thread already
            return look_up(module, host, port)
        return resolve(module, host, port, deadline)

    number = look_up_number(host, port)
    if number:
        return number
    try:
        async with asyncio.timeout(deadline.timeout()):
            return await in_thread(answer, f"gearpool-resolve-{host}")
    except OSError as error:
        raise unresolved(server, error) from error


async def _dial(server: ServerSettings, deadline: Deadline, addresses: list[Any]) -> socket.socket:
    loop = asyncio.get_running_loop()
    last: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        # A black-holed first address must leave time for the next.
        share = deadline.remaining() / (len(addresses) - index)
        if share <= 0:
            break
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            tune(sock)
            async with asyncio.timeout(share):
                await loop.sock_connect(sock, address)
            return sock
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            last = error
    raise unreachable(server, last) from last


async def _open(
    server: ServerSettings, deadline: Deadline, sock: socket.socket, context: Any
) -> tuple[asyncio.Transport, Inbox]:
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {}
    if context is not None and server.tls is not None:
        options = {
            "ssl": context,
            "server_hostname": server.tls.server_name or server.host,
            # Ours below is the earlier one; asyncio's would end the connection with a text of its own.
            "ssl_handshake_timeout": deadline.remaining() + 60.0,
            "ssl_shutdown_timeout": TLS_SHUTDOWN_S,
        }
    try:
        async with asyncio.timeout(deadline.timeout()):
            return await loop.create_connection(Inbox, sock=sock, **options)
    except OSError as error:
        sock.close()
        raise (insecure if context is not None else unreachable)(server, error) from error
    except BaseException:
        sock.close()
        raise


async def _greet(server: ServerSettings, deadline: Deadline, transport: asyncio.Transport, inbox: Inbox) -> None:
    greeting = Greeting(server)
    transport.write(GREETING)
    try:
        async with asyncio.timeout(deadline.timeout()):
            while not greeting.answered_by(await inbox.receive()):
                pass
    except OSError as error:
        raise greeting.failed(error) from error
