"""Start the foreign programs of the folder ``programs``; what each of them needs to run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gearpool.client import Client
from tests.processes import missing, need, wait_for

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
NODE_MODULES = ROOT / ".peers" / "node_modules"
FUNCTIONS = {"reverse", "echo", "stream", "fail", "explode"}


@dataclass(frozen=True)
class Peer:
    """A foreign library: how its programs are run, and how to see whether it is installed."""

    name: str
    suffix: str
    command: tuple[str, ...]
    probe: tuple[str, ...]

    def argv(self, role: str, port: int) -> list[str]:
        """Return the command line of its ``client`` or ``worker``; if it is missing, skip the test, or fail it in CI."""
        need(self.command[0])
        if subprocess.run([*self.command, *self.probe], capture_output=True, env=environment(), check=False).returncode:
            missing(self.name)
        return [*self.command, str(PROGRAMS / f"{role}.{self.suffix}"), "127.0.0.1", str(port)]


PEERS = {
    "perl": Peer("Perl's Gearman::Client and Worker", "pl", ("perl",), ("-MGearman::Client", "-e", "1")),
    "php": Peer("PHP's gearman extension", "php", ("php",), ("-r", "exit(class_exists('GearmanClient') ? 0 : 1);")),
    "npm": Peer("npm's gearman", "js", ("node",), ("-e", "require('gearman')")),
}


def environment() -> dict[str, str]:
    """Return an environment in which Node finds the packages of ``make peers``, and Python finds gearpool."""
    return {**os.environ, "NODE_PATH": str(NODE_MODULES), "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def running(argv: list[str], address: str, functions: set[str]) -> Iterator[None]:
    """Run a worker program for the duration of a block, which begins once its functions are registered."""
    process = subprocess.Popen(argv, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Client(address) as client:

            def registered() -> bool:
                assert process.poll() is None, f"{argv} ended"
                rows = client.admin.status()[address]
                return functions <= {row.function for row in rows if row.workers}

            wait_for(registered, f"{argv[0]} to register")
        yield
    finally:
        process.kill()
        process.wait(10)


def our_worker(port: int) -> list[str]:
    """The command line of gearpool's own worker with the same functions."""
    return [sys.executable, str(PROGRAMS / "our_worker.py"), "127.0.0.1", str(port)]
