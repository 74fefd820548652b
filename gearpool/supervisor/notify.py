"""systemd's notification protocol (sd_notify(3)): one datagram a message. Floor 4; stdlib only.

Law: without NOTIFY_SOCKET nothing happens, and no failure to notify ever reaches the caller.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Tells the service manager how the daemon is."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL of Linux's abstract namespace
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog_s = _watchdog_s(environment) if path else None

    def send(self, *lines: str) -> None:
        """Send assignments such as ``READY=1`` in one message."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.setblocking(False)
            out.sendto("\n".join(lines).encode(), self._address)

    def ready(self, status: str) -> None:
        """Started, or the reload is over."""
        self.send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """A reload begins; Type=notify-reload wants the moment with it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Reloading")

    def stopping(self, status: str) -> None:
        """The drain has begun."""
        self.send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self.send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self.send("WATCHDOG=1")

    def extend(self, seconds: float, status: str) -> None:
        """Ask for so much more time than TimeoutStartSec or TimeoutStopSec allows."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}", f"STATUS={status}")


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Seconds after which systemd takes us for dead, None if it does not watch."""
    try:
        if int(environment.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return None
        usec = int(environment["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return usec / 1_000_000 if usec > 0 else None
