"""The sockets on which the web child accepts connections. Floor 4; stdlib only.

The supervisor binds them and the child inherits them. So an address that is in use stops the start at once, and while the
child is replaced connections wait in the kernel instead of being refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from gearpool.net.http_address import HttpAddress, parse_http_address
from gearpool.supervisor import paths

BACKLOG = 1024
"""Connections that the kernel keeps until the child accepts them."""


class WebListener:
    """Listens as soon as it is created.

    Attributes:
        listen: ``http.listen`` as configured.
    """

    def __init__(self, listen: str) -> None:
        """Bind and listen.

        Raises:
            OSError: it cannot be done; the text says why.
        """
        self.listen = listen
        self._address = parse_http_address(listen)
        self._path: Path | None = None
        self._inode: tuple[int, int] | None = None
        try:
            if self._address.path is not None:
                self._path = Path(self._address.path)
                self._sockets = [_bind_unix(self._path)]
                about = self._path.lstat()
                self._inode = about.st_dev, about.st_ino
            else:
                self._sockets = _bind_tcp(self._address)
        except OSError as error:
            in_use = " (another program listens there)" if error.errno == errno.EADDRINUSE else ""
            raise OSError(f"cannot listen on {listen} (http.listen): {error.strerror or error}{in_use}") from error

    @property
    def fds(self) -> list[int]:
        """The descriptors that the child is to inherit."""
        return [each.fileno() for each in self._sockets]

    def close(self) -> None:
        """Stop listening; a socket in the file system is removed if it is still this one."""
        for each in self._sockets:
            each.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                about = self._path.lstat()
                if (about.st_dev, about.st_ino) == self._inode:
                    self._path.unlink()


def _bind_tcp(address: HttpAddress) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, place in socket.getaddrinfo(
            address.host, address.port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
        ):
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # a name may have both kinds of address
            each.bind(place)
            each.listen(BACKLOG)
            each.setblocking(False)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _bind_unix(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > paths.MAX_PATH:
        raise OSError(f"the path is longer than {paths.MAX_PATH} bytes")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError("something that is not a socket exists there; remove it or choose another path")
        if _is_served(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        before = os.umask(0o117)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _is_served(path: Path) -> bool:
    """Whether a process listens there; the socket of one that was killed is stale."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:
            return True  # its backlog is full
        except OSError:
            return False
    return True
