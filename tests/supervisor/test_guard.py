from __future__ import annotations

import os
import signal
from pathlib import Path

from gearpool.page import Activity
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import ScriptedDaemon, plain_settings

JOB, HUB = int(Activity.JOB), int(Activity.HUB)


def asked(daemon: ScriptedDaemon, pid: int) -> int:
    note: Path = daemon.children / f"{pid}.asked"
    return int(note.read_text() or 0) if note.exists() else 0


def test_a_worker_blocked_beyond_stall_timeout_is_dumped_killed_blamed_and_replaced(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2, stall_timeout_s=0.5)).start().until_ready()
    culprit, other = daemon.workers()
    daemon.tell(culprit, page=[JOB, 0, "H:x:1", "u1"])
    new = [pid for pid in daemon.until_workers(2, without=culprit) if pid != other]
    killed = daemon.events("worker.killed")[0]
    assert (killed["function"], killed["handle"], killed["unique"]) == ("work", "H:x:1", "u1")
    assert "scripted_child.py" in killed["stacks"]
    assert daemon.until_received(other, "poison")["entries"] == [["work", "127.0.0.1:4730", "uu1", 1, 0]]
    assert daemon.until_received(new[0], "start")["poison"] == [["work", "127.0.0.1:4730", "uu1", 1, 0]]


def test_a_worker_blocked_beyond_timeout_and_grace_is_killed_before_stall_timeout(daemons: Factory) -> None:
    daemon = daemons(plain_settings(timeout_s=0.3, stall_timeout_s=600.0)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "u"])
    daemon.until_workers(1, without=pid)
    assert asked(daemon, pid) >= 1
    assert daemon.ask("status")["restarts"] == {"stalled": 1}


def test_a_blocked_worker_with_a_time_limit_is_signalled_repeatedly(daemons: Factory) -> None:
    daemon = daemons(plain_settings(timeout_s=600.0, stall_timeout_s=600.0)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "u"])
    wait_for(lambda: asked(daemon, pid) >= 3, "three signals")
    assert daemon.workers() == [pid]


def test_status_jobs_and_stacks_answer_for_a_worker_that_is_blocked(daemons: Factory) -> None:
    daemon = daemons(plain_settings(stall_timeout_s=600.0)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "u"])
    daemon.tell(pid, blocked=True)
    wait_for(lambda: daemon.ask("status")["workers"][0]["stalled_s"] > 0, "the stall to be seen")
    (job,) = daemon.ask("jobs")
    assert (job["error"], job["function"], job["handle"]) == ("blocked", "work", "H:x:1")
    (stacks,) = daemon.ask("stacks")
    assert "scripted_child.py" in stacks["stacks"]


def test_an_idle_worker_is_never_signalled(daemons: Factory) -> None:
    daemon = daemons(plain_settings(timeout_s=0.1, stall_timeout_s=0.2)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[HUB, 0, "", ""])
    daemon.ask("stacks")
    os.kill(pid, 0)
    assert asked(daemon, pid) == 0
    assert not daemon.events("worker.killed")


def test_killing_a_blocked_worker_makes_the_drain_unclean(daemons: Factory) -> None:
    daemon = daemons(plain_settings(stall_timeout_s=0.3, drain_timeout_s=60.0)).start().until_ready()
    (pid,) = daemon.workers()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGTERM)
    wait_for(lambda: daemon.workers("draining") == [pid], "the drain")
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "u"])
    assert daemon.wait() == 1
