"""Peers for the dialing tests: bare TCP servers with a script, and stunnel in front of a gearmand."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.processes import accepts, free_port, need, wait_for


@contextlib.contextmanager
def tcp_server(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """Runs ``script(connection)`` for each connection; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    served: list[threading.Thread] = []
    open_: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            script(sock)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            open_.append(sock)
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            served.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for sock in open_:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in served:
            thread.join(5)


@contextlib.contextmanager
def stunnel(folder: Path, to: int, certificate: Path, *, client_ca: Path | None = None) -> Iterator[int]:
    """Debian's stunnel4 speaking TLS in front of port ``to``; yields its port. ``client_ca`` demands a certificate."""
    program = need("stunnel4")
    port = free_port()
    lines = [
        "foreground = yes",
        "pid =",
        "[gearman]",
        f"accept = 127.0.0.1:{port}",
        f"connect = 127.0.0.1:{to}",
        f"cert = {certificate}",
    ]
    if client_ca is not None:
        lines += ["requireCert = yes", "verifyChain = yes", f"CAfile = {client_ca}"]
    config = folder / f"stunnel-{port}.conf"
    config.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([program, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: accepts(port), "stunnel")
        yield port
    finally:
        process.terminate()
        process.wait(10)
