"""The control socket: one daemon a configuration file, mode 0600, with a group 0660. Floor 4; stdlib only.

Law: a lock held for life, not the socket file, says whether a daemon is alive: the kernel gives it back however the
daemon ends, so a stale socket is replaced and a live one never is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from gearpool.errors import ConfigurationError
from gearpool.settings import ControlSettings
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
        settings: ControlSettings,
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
        self.path = _in_place(Path(settings.socket)) if settings.socket else usual
        self._link = usual if settings.socket else None
        try:
            self._group = None if settings.group is None else paths.group_id(settings.group)
            if self.path == usual:
                paths.private_directory(usual.parent)
            self._lock = _locked(Path(f"{self.path}.lock"))
            self._listener = self._listen()
        except (OSError, ConfigurationError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CannotListenError(f"control socket {self.path}: {reason}{_remedy(error)}") from error
        self._publish()
        loop.watch(self._listener.fileno(), READ, self._accept)

    @property
    def closed_to_group(self) -> Path | None:
        """The directory that keeps the group of ``control.group`` from the socket; None if nothing does."""
        with contextlib.suppress(OSError):
            if self._group is not None:
                return paths.closed_to_group(self.path, self._group)
        return None

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
            if self._group is not None:
                self._let_in(self._group)
            listener.listen(MOST)
        except OSError:
            listener.close()
            raise
        return listener

    def _let_in(self, group: int) -> None:
        if self._link is None:
            paths.open_to_group(self.path.parent, group)
        if self.path.stat().st_gid != group:
            try:
                os.chown(self.path, -1, group)
            except OSError as error:
                raise OSError(
                    f"cannot be given to the group of control.group ({error.strerror}): the daemon's user must be a "
                    "member of it (under systemd: Group= in the unit)"
                ) from error
        self.path.chmod(0o660)

    def _publish(self) -> None:
        """With a path of its own the socket is still to be found by the configuration file: a link stands there."""
        if self._link is None:
            return
        with contextlib.suppress(OSError, ConfigurationError):
            paths.private_directory(self._link.parent)
            with contextlib.suppress(FileNotFoundError):
                self._link.unlink()
            self._link.symlink_to(self.path)
            if self._group is not None:
                paths.open_to_group(self._link.parent, self._group)

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


def _in_place(path: Path) -> Path:
    """The same place wherever links lead later: a socket is bound to an inode, not to a name."""
    return Path(os.path.realpath(path.parent)) / path.name


def _remedy(error: Exception) -> str:
    """What to do about a directory that cannot be used."""
    if isinstance(error, OSError) and error.errno in {errno.EROFS, errno.EACCES, errno.ENOENT, errno.ENOTDIR}:
        return (
            "; name a directory that this user may write to by control.socket or by the variable RUNTIME_DIRECTORY "
            "(under systemd: RuntimeDirectory=gearpool; in a container with a read-only root: a tmpfs of that user's)"
        )
    return ""


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(
            "another gearpool runs this configuration file: `gearpool status` shows it, `gearpool drain` stops it"
        ) from None
    return descriptor
