"""The control socket: one daemon a configuration file, mode 0600. Floor 4; stdlib only.

Law: a lock held for life, not the socket file, says whether a daemon is alive: the kernel gives it back however the
daemon ends, so a stale socket is replaced and a live one never is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from gearpool.errors import ConfigurationError
from gearpool.supervisor import paths
from gearpool.supervisor.channel import Channel, Message
from gearpool.supervisor.loop import READ, Loop

MOST = 64
"""Connections at once."""


class CannotListenError(Exception):
    """The socket cannot be made (exit 73)."""


class ControlSocket:
    """Listens; each request becomes ``serve(message, reply)``, where ``reply(answer)`` may be called later."""

    def __init__(
        self,
        loop: Loop,
        configuration: str,
        path: str | None,
        serve: Callable[[Message, Callable[[Message], None]], object],
    ) -> None:
        """Claim the configuration file and listen.

        Raises:
            CannotListenError: another daemon runs this file, or the socket cannot be made.
        """
        self._loop = loop
        self._serve = serve
        self._channels: set[Channel] = set()
        usual = paths.own_directory() / paths.socket_name(configuration)
        self.path = Path(path) if path else usual
        self._link = usual if path else None
        try:
            if self.path == usual:
                paths.private_directory(usual.parent)
            self._lock = _locked(Path(f"{self.path}.lock"))
            self._listener = self._listen()
        except (OSError, ConfigurationError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CannotListenError(f"control socket {self.path}: {reason}") from error
        self._publish()
        loop.watch(self._listener.fileno(), READ, self._accept)

    def close(self) -> None:
        """Listen no more and remove the socket."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for channel in list(self._channels):
            channel.close()
        for path in (self.path, self._link):
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink()
        # The lock file stays: removing it would let two daemons lock two files of one name.
        os.close(self._lock)

    def _listen(self) -> socket.socket:
        if len(os.fsencode(self.path)) > paths.MOST:
            raise OSError(f"the path is longer than {paths.MOST} bytes")
        with contextlib.suppress(FileNotFoundError):
            kind = stat.S_IFMT(self.path.lstat().st_mode)
            if kind not in {stat.S_IFSOCK, stat.S_IFLNK}:
                raise OSError("there is something else of this name, which is left alone")
            self.path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            before = os.umask(0o177)
            try:
                listener.bind(os.fspath(self.path))
            finally:
                os.umask(before)
            listener.listen(MOST)
        except OSError:
            listener.close()
            raise
        return listener

    def _publish(self) -> None:
        """With a path of its own the socket is still to be found by the configuration file: a link stands there."""
        if self._link is None:
            return
        with contextlib.suppress(OSError, ConfigurationError):
            paths.private_directory(self._link.parent)
            with contextlib.suppress(FileNotFoundError):
                self._link.unlink()
            self._link.symlink_to(self.path.absolute())

    def _accept(self, _mask: int) -> None:
        with contextlib.suppress(OSError):
            stream, _ = self._listener.accept()
            if len(self._channels) >= MOST:
                stream.close()
                return
            channels = self._channels

            def on_message(message: Message) -> None:
                self._serve(message, channel.send)

            def on_end() -> None:
                channels.discard(channel)

            channel = Channel(self._loop, stream, on_message, on_end)
            channels.add(channel)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError("another gearpool runs this configuration file") from None
    return descriptor
