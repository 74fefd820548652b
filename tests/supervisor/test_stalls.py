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


def test_a_worker_stuck_over_stall_timeout_is_dumped_killed_blamed_and_replaced(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2, stall_timeout_s=0.5)).start().until_ready()
    culprit, other = daemon.workers()
    daemon.tell(culprit, page=[JOB, 0, "H:x:1", "u1"])
    new = [pid for pid in daemon.until_workers(2, without=culprit) if pid != other]
    killed = daemon.events("worker.killed")[0]
    assert (killed["function"], killed["handle"], killed["unique"]) == ("work", "H:x:1", "u1")
    assert "scripted_child.py" in killed["stacks"]
    assert daemon.hears(other, "poison")["entries"] == [["work", "127.0.0.1:4730", "uu1", 1, 0]]
    assert daemon.hears(new[0], "start")["poison"] == [["work", "127.0.0.1:4730", "uu1", 1, 0]]


def test_a_job_without_unique_is_blamed_by_its_handle(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:7", ""])
    daemon.tell(pid, kill=signal.SIGSEGV)
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.hears(new, "start")["poison"] == [["work", "127.0.0.1:4730", "hH:x:7", 1, 0]]


def test_every_death_of_the_same_job_counts(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    for _ in range(3):
        (pid,) = daemon.until_workers(1)
        daemon.tell(pid, page=[JOB, 0, "H:x:1", "bad"])
        daemon.tell(pid, exit=1)
        daemon.until_workers(1, without=pid)
    assert [event["kills"] for event in daemon.events("job.blamed")] == [1, 2, 3]


def test_nobody_is_blamed_when_the_hub_was_on_the_cpu(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[HUB, 0, "", ""])
    daemon.tell(pid, kill=signal.SIGKILL)
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.hears(new, "start")["poison"] == []


def test_a_worker_stuck_over_timeout_and_grace_is_killed_before_stall_timeout(daemons: Factory) -> None:
    daemon = daemons(plain_settings(timeout_s=0.3, stall_timeout_s=600.0)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "u"])
    daemon.until_workers(1, without=pid)
    assert asked(daemon, pid) >= 1
    assert daemon.ask("status")["restarts"] == {"stalled": 1}


def test_a_stalled_worker_with_a_limit_is_asked_again_and_again(daemons: Factory) -> None:
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


def test_an_idle_worker_is_never_asked(daemons: Factory) -> None:
    daemon = daemons(plain_settings(timeout_s=0.1, stall_timeout_s=0.2)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[HUB, 0, "", ""])
    daemon.ask("stacks")
    os.kill(pid, 0)
    assert asked(daemon, pid) == 0
    assert not daemon.events("worker.killed")


def test_a_drain_in_which_a_stuck_worker_had_to_be_killed_was_not_clean(daemons: Factory) -> None:
    daemon = daemons(plain_settings(stall_timeout_s=0.3, drain_timeout_s=60.0)).start().until_ready()
    (pid,) = daemon.workers()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGTERM)
    wait_for(lambda: daemon.workers("draining") == [pid], "the drain")
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "u"])
    assert daemon.wait() == 1


def test_a_reload_with_new_processes_forgets_who_was_blamed(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "daily"])
    daemon.tell(pid, exit=1)
    (blaming,) = daemon.until_workers(1, without=pid)
    assert daemon.hears(blaming, "start")["poison"] == [["work", "127.0.0.1:4730", "udaily", 1, 0]]
    daemon.send(signal.SIGHUP)
    (reloaded,) = daemon.until_workers(1, without=blaming)
    assert daemon.hears(reloaded, "start")["poison"] == []
    daemon.tell(reloaded, exit=1)
    (replacement,) = daemon.until_workers(1, without=reloaded)
    assert daemon.hears(replacement, "start")["poison"] == []
