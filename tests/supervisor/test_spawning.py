from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gearpool.supervisor.child import Child
from gearpool.supervisor.loop import Loop
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import MAIN, PRINT, ScriptedDaemon


class WithProgram(ScriptedDaemon):
    """A daemon whose worker program is a file that a test may take away."""

    program: Path

    def start(self) -> ScriptedDaemon:
        worker = [str(self.program), "-m", "tests.supervisor.scripted_child", str(self.children)]
        arguments = json.dumps([[sys.executable, "-c", PRINT], worker, worker, str(self.path), self.start_s])
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", MAIN, arguments], stderr=log, env=self.environment)
        return self


def with_program(daemons: Factory, tmp_path: Path) -> WithProgram:
    daemon = WithProgram(tmp_path / "with-program")
    daemon.program = tmp_path / "python"
    daemons.made.append(daemon)
    return daemon


def test_a_worker_that_the_system_cannot_start_stops_the_start(daemons: Factory, tmp_path: Path) -> None:
    daemon = with_program(daemons, tmp_path).start()
    assert daemon.wait() == 70
    assert "cannot start a worker" in daemon.events("daemon.start_failed")[0]["message"]


def test_a_replacement_that_the_system_cannot_start_is_tried_again(daemons: Factory, tmp_path: Path) -> None:
    daemon = with_program(daemons, tmp_path)
    daemon.program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    daemon.program.chmod(0o700)
    daemon.start()
    daemon.until_ready()
    (pid,) = daemon.workers()
    daemon.program.rename(tmp_path / "away")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: daemon.events("worker.cannot_start"), "the failure")
    (tmp_path / "away").rename(daemon.program)
    daemon.until_workers(1, without=pid)


def test_a_child_for_which_descriptors_run_out_gives_back_those_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    loop = Loop()
    before = sorted(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(socket, "socketpair", none_left)
    with pytest.raises(OSError, match="Too many"):
        Child(loop, "worker", ["true"], 0, lambda child, message: None)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    loop.close()


def test_a_checker_that_the_system_cannot_start_stops_the_start(daemons: Factory) -> None:
    daemon = daemons()
    arguments = json.dumps([["/no/such/program"], ["true"], ["true"], str(daemon.path), 1.0])
    done = subprocess.run(
        [sys.executable, "-c", MAIN, arguments], env=daemon.environment, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 70
    assert b"cannot start the checker" in done.stderr
    assert b"Traceback" not in done.stderr
