"""Shared by the benchmarks: native peers built from source, pinning to one core, and the rows of the report."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.integration.daemons import Site
from tests.processes import Gearmand, free_port, need, running_gearmand

HERE = Path(__file__).parent
CORE = str(max(os.sched_getaffinity(0)))
"""Everything runs on one core: otherwise the results of the same worker vary fivefold from minute to minute."""


@dataclass(frozen=True)
class Row:
    """One row of the report: a ratio and its goal."""

    name: str
    ratio: float
    goal: str
    detail: str

    @property
    def met(self) -> bool:
        """Return whether the ratio meets the goal, ``>= x`` or ``<= x``."""
        relation, bound = self.goal.split()
        return self.ratio >= float(bound) if relation == ">=" else self.ratio <= float(bound)

    def __str__(self) -> str:
        """Format the row as a line."""
        return f"{'ok  ' if self.met else 'MISS'} {self.name:58s} {self.ratio:8.2f}  (goal {self.goal})  {self.detail}"


@cache
def native(name: str) -> str:
    """Build ``native/NAME.c`` and return the program's path."""
    folder = Path(tempfile.mkdtemp(prefix="gearpool-bench-"))
    program = folder / name
    libraries = ["-lgearman"] if "gearman" in name else []
    subprocess.run([need("gcc"), "-O2", "-o", str(program), str(HERE / "native" / f"{name}.c"), *libraries], check=True)
    return str(program)


def pinned(*argv: str, core: str = CORE) -> list[str]:
    """Return ``argv`` pinned to one core."""
    return ["taskset", "-c", core, *argv]


@contextlib.contextmanager
def background(*argv: str, core: str = CORE) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the duration of a block."""
    process = subprocess.Popen(pinned(*argv, core=core), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield process
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Load:
    """The load generator's measurements: jobs per second, and the median latency in microseconds."""

    rate: float
    p50: float


def load(port: int, function: str, jobs: int, window: int, size: int = 8, *, background: bool = False) -> Load:
    """Submit ``jobs`` jobs with up to ``window`` outstanding on one connection."""
    argv = pinned(native("load"), str(port), function, str(jobs), str(window), str(size), *(["bg"] * background))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    found = re.match(r"jobs/s (\d+)  p50 (\d+)us", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"load failed: {done.stdout}{done.stderr}")
    return Load(float(found[1]), float(found[2]))


@contextlib.contextmanager
def one_core_gearmand(*options: str) -> Iterator[Gearmand]:
    """Run a gearmand on the shared core."""
    with running_gearmand(*options) as server:
        assert server.process is not None
        subprocess.run(["taskset", "-a", "-cp", CORE, str(server.process.pid)], check=True, stdout=subprocess.DEVNULL)
        yield server


@contextlib.contextmanager
def daemon(port: int, functions: str, *, core: str | None = CORE, **top: object) -> Iterator[Site]:
    """Run gearpool as a user would, serving ``functions`` (lines of YAML) on ``127.0.0.1:port``."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"{key}: {json.dumps(value)}" for key, value in {"servers": f"127.0.0.1:{port}", **top}.items()]
        lines.append("log: {format: json}")
        site = Site(Path(folder), "\n".join([*lines, "functions:", functions]))
        (site.folder / "bench_handlers.py").write_text(HANDLERS)
        before = os.sched_getaffinity(0)
        if core is not None:
            os.sched_setaffinity(0, {int(core)})
        try:
            site.start()
        finally:
            os.sched_setaffinity(0, before)
        try:
            site.until_serving()
            time.sleep(0.3)
            yield site
        finally:
            site.close()


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes; see proc(5), statm."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


HANDLERS = """
import os
import time

def echo(arg):
    return arg

def echo_with_job(arg, job):
    return arg

def nap(arg):
    time.sleep(0.001)
    return arg

def second(arg):
    time.sleep(1.0)
    return arg

def burn(arg):
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    return arg

def note(arg):
    with open(os.path.join(os.path.dirname(__file__), "starts"), "ab", buffering=0) as file:
        file.write(b"%.6f\\n" % time.time())
    time.sleep(0.01)

def stuck(arg):
    # One call into C that holds the GIL.
    return str(sum(range(10 ** 12)))
"""

__all__ = [
    "CORE", "Load", "Row", "background", "daemon", "free_port", "load", "native", "one_core_gearmand", "pinned",
    "resident_bytes", "sys",
]  # fmt: skip
