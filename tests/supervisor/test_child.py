from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from gearpool.messages import WORKER_EVENTS
from gearpool.supervisor.child import Child
from gearpool.supervisor.loop import Loop
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import exists, plain_settings


def test_a_child_that_runs_out_of_descriptors_closes_those_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    loop = Loop()
    before = sorted(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(socket, "socketpair", none_left)
    with pytest.raises(OSError, match="Too many"):
        Child(loop, "worker", ["true"], 0, WORKER_EVENTS, lambda child, event: None)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    loop.close()


def test_processes_started_by_a_killed_worker_are_killed_with_it(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, spawn=True)
    note = daemon.children / f"{pid}.spawned"
    started = int(wait_for(lambda: note.exists() and note.read_text(), "the worker's own child"))
    assert exists(started)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not exists(started), "its end")


def test_children_start_with_signals_ignored(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        os.kill(pid, number)
    daemon.ask("pause", function="work")
    daemon.until_received(pid, "pause")
    assert daemon.workers() == [pid]


def test_children_exit_when_the_supervisor_is_killed(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    pids = daemon.workers()
    daemon.close()
    for pid in pids:
        wait_for(lambda pid=pid: not exists(pid), "the child to leave")  # type: ignore[misc] # bound
