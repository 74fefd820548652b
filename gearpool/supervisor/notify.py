"""Sends notifications to systemd, as sd_notify(3) does. Floor 4; stdlib only.

Invariant: without NOTIFY_SOCKET nothing is sent, and a failure to send never reaches the caller.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends notifications to the service manager."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL byte of Linux's abstract namespace.
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
        """The daemon has started, or a reload has ended."""
        self.send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """A reload begins; Type=notify-reload requires the time."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Reloading")

    def stopping(self, status: str) -> None:
        """The drain has begun."""
        self.send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self.send(f"STATUS={status}")

    def alive(self) -> None:
        """Reset systemd's watchdog timer."""
        self.send("WATCHDOG=1")

    def extend(self, seconds: float, status: str) -> None:
        """Extend TimeoutStartSec or TimeoutStopSec to at least ``seconds`` from now."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}", f"STATUS={status}")


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Seconds after which systemd considers this process dead; None if it has no watchdog."""
    try:
        if int(environment.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return None
        usec = int(environment["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return usec / 1_000_000 if usec > 0 else None
