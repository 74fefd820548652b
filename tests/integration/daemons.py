"""Run the daemon as users do, ``gearpool -c FILE``, with handlers defined by the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import wait_for
from tests.supervisor.daemons import ROOT, ScriptedDaemon

COMMAND = [sys.executable, "-m", "gearpool"]

HANDLERS = '''
import os, time
from pathlib import Path

FOLDER = Path(__file__).parent
VERSION = 1


def note(name, line):
    """Append a line with a single write, so that several processes can do so concurrently."""
    fd = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line + b"\\n")
    finally:
        os.close(fd)


def record(arg):
    note("ran", arg + b" %d" % VERSION)
    return arg[::-1]


def nap(arg):
    """NAME SECONDS: note the start, sleep, note the end."""
    name, seconds = arg.split()
    note("began", name)
    time.sleep(float(seconds))
    note("ended", name)
    return name


def spin(arg):
    note("began", arg)
    while True:
        pass


def hold_the_gil(arg):
    note("began", arg)
    return str(sum(range(10**11)))


LEAK = []


def leak(arg):
    LEAK.append(bytearray(2048))
    note("ran", arg)
'''


class Site(ScriptedDaemon):
    """A folder with a configuration and handlers, and the daemon that runs them."""

    def __init__(self, folder: Path, configuration: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self.configuration = configuration
        self._counted: dict[str, tuple[int, int]] = {}
        self.path.write_text(configuration)
        self.handlers = folder / "site_handlers.py"
        self.handlers.write_text(HANDLERS)
        for name in ("GEARPOOL_SERVERS", "GEARMAN_SERVERS", "NOTIFY_SOCKET"):
            self.environment.pop(name, None)

    def start(self, *options: str) -> Site:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "-c", str(self.path), *options],
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=ROOT,
                process_group=0,
            )
        return self

    def until_ready(self) -> Site:
        super().until_ready()
        return self

    def until_serving(self, lanes: int = 1) -> Site:
        """Wait until the workers are connected; they are ready before that."""
        self.until_ready()

        def connected() -> bool:
            servers = self.ask("status")["servers"]
            return len(servers) >= lanes and all(servers.values())

        wait_for(connected, "the workers to be connected")
        return self

    def lines(self, name: str) -> list[str]:
        """Return the lines that handlers have appended to the file ``name``."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def count(self, name: str) -> int:
        """Return the number of lines in the file ``name``; only new ones are read."""
        path = self.folder / name
        if path.exists():
            with path.open("rb") as file:
                offset, lines = self._counted.get(name, (0, 0))
                file.seek(offset)
                new = file.read()
                self._counted[name] = offset + len(new), lines + new.count(b"\n")
        return self._counted.get(name, (0, 0))[1]

    def write_version(self, version: int) -> None:
        """Replace the handlers' code."""
        self.handlers.write_text(HANDLERS.replace("VERSION = 1", f"VERSION = {version}"))
        # Python considers a pyc current if the source has the same size and modification second.
        for compiled in self.folder.glob("__pycache__/*"):
            compiled.unlink()

    def gearpool(self, *words: str, **run: Any) -> subprocess.CompletedProcess[str]:
        """Run a command against this site."""
        return subprocess.run(
            [*COMMAND, *words],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **run,
        )


def configuration(servers: str, functions: str = "", **top: object) -> str:
    """Return a configuration that serves ``record`` and ``nap`` on ``servers``, with additional keys."""
    lines = [f"servers: {servers}", "log: {format: json}"]
    lines += [f"{key}: {value}" for key, value in top.items()]
    lines += ["functions:", "  record: site_handlers.record", "  nap: {handler: site_handlers.nap, concurrency: 1000}"]
    return "\n".join(lines) + "\n" + functions


def children_of(pid: int) -> list[int]:
    """Return the process IDs of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
