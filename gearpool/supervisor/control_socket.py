"""The control socket, on which a daemon serves operators. Mode 0600, or 0660 with a group. Floor 4; stdlib only.

Invariant: one daemon per configuration file. It holds a lock for its whole life, which the kernel releases however the
daemon ends; so a stale socket is replaced and a live one never is.
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
from gearpool.supervisor.channel import Channel, Object
from gearpool.supervisor.loop import READ, Loop

MAX_CONNECTIONS = 64


class CannotListenError(Exception):
    """The socket cannot be created (exit 73)."""


class ControlSocket:
    """Calls ``serve(message, reply)`` for each request; ``reply(answer)`` may be called later."""

    def __init__(
        self,
        loop: Loop,
        configuration: str,
        settings: ControlSettings,
        serve: Callable[[Object, Callable[[Object], None]], object],
    ) -> None:
        """Lock the configuration file's name and listen.

        Raises:
            CannotListenError: another daemon runs this file, or the socket cannot be created.
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
        """The directory that keeps ``control.group`` from reaching the socket; None if there is none."""
        with contextlib.suppress(OSError):
            if self._group is not None:
                return paths.closed_to_group(self.path, self._group)
        return None

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for channel in list(self._channels):
            channel.close()
        for path in (self.path, self._link):
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink()
        # The lock file is kept: removing it would let two daemons lock two different files of the same name.
        os.close(self._lock)

    def _listen(self) -> socket.socket:
        if len(os.fsencode(self.path)) > paths.MAX_PATH:
            raise OSError(f"the path is longer than {paths.MAX_PATH} bytes")
        with contextlib.suppress(FileNotFoundError):
            kind = stat.S_IFMT(self.path.lstat().st_mode)
            if kind not in {stat.S_IFSOCK, stat.S_IFLNK}:
                raise OSError("something that is not a socket exists there; remove it or choose another path")
            self.path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            before = os.umask(0o177)
            try:
                listener.bind(os.fspath(self.path))
            finally:
                os.umask(before)
            if self._group is not None:
                self._grant(self._group)
            listener.listen(MAX_CONNECTIONS)
        except OSError:
            listener.close()
            raise
        return listener

    def _grant(self, group: int) -> None:
        if self._link is None:
            paths.open_to_group(self.path.parent, group)
        if self.path.stat().st_gid != group:
            try:
                os.chown(self.path, -1, group)
            except OSError as error:
                raise OSError(
                    f"cannot change its group to control.group ({error.strerror}): the daemon's user must be a "
                    "member of that group (under systemd: Group= in the unit)"
                ) from error
        self.path.chmod(0o660)

    def _publish(self) -> None:
        """Create a symlink at the default path, so that a socket at another path is found by its configuration file."""
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
            if len(self._channels) >= MAX_CONNECTIONS:
                stream.close()
                return
            channels = self._channels

            def on_message(message: Object) -> None:
                self._serve(message, channel.send)

            def on_end() -> None:
                channels.discard(channel)

            channel = Channel(self._loop, stream, on_message, on_end)
            channels.add(channel)


def _in_place(path: Path) -> Path:
    """The path without symlinks: where these lead may change, but a socket stays where it was bound."""
    return Path(os.path.realpath(path.parent)) / path.name


def _remedy(error: Exception) -> str:
    """Advice for a directory that cannot be used."""
    if isinstance(error, OSError) and error.errno in {errno.EROFS, errno.EACCES, errno.ENOENT, errno.ENOTDIR}:
        return (
            "; set control.socket or the variable RUNTIME_DIRECTORY to a directory that this user may write to "
            "(under systemd: RuntimeDirectory=gearpool; in a container with a read-only root: a tmpfs owned by that user)"
        )
    return ""


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(
            "another gearpool already runs this configuration file; see `gearpool status`, stop it with `gearpool drain`"
        ) from None
    return descriptor
