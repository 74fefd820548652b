"""A service manager's notification socket."""

from __future__ import annotations

import socket

from tests.processes import wait_for


class ServiceManager:
    """Receives notifications and keeps their lines."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.lines: list[str] = []

    def read(self) -> list[str]:
        while True:
            try:
                self.lines += self.socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.lines

    def until(self, start: str, times: int = 1) -> None:
        wait_for(lambda: sum(line.startswith(start) for line in self.read()) >= times, f"{times} × {start}")

    def milestones(self) -> list[str]:
        wanted = ("READY", "RELOADING", "MONOTONIC_USEC", "STOPPING")
        return [line.split("=")[0] for line in self.read() if line.startswith(wanted)]
