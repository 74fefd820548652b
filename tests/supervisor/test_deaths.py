from __future__ import annotations

import os
import signal

from gearpool.page import Activity
from tests.processes import wait_for
from tests.supervisor.conftest import Factory

JOB, HUB = int(Activity.JOB), int(Activity.HUB)


def test_a_job_without_unique_is_blamed_by_its_handle(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:7", ""])
    daemon.tell(pid, kill=signal.SIGSEGV)
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.until_received(new, "start")["poison"] == [["work", "127.0.0.1:4730", "hH:x:7", 1, 0]]


def test_every_death_of_the_same_job_counts(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    for _ in range(3):
        (pid,) = daemon.until_workers(1)
        daemon.tell(pid, page=[JOB, 0, "H:x:1", "bad"])
        daemon.tell(pid, exit=1)
        daemon.until_workers(1, without=pid)
    assert [event["kills"] for event in daemon.events("job.blamed")] == [1, 2, 3]


def test_nobody_is_blamed_when_no_job_was_on_the_cpu(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[HUB, 0, "", ""])
    daemon.tell(pid, kill=signal.SIGKILL)
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.until_received(new, "start")["poison"] == []


def test_a_reload_with_new_processes_drops_all_records(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[JOB, 0, "H:x:1", "daily"])
    daemon.tell(pid, exit=1)
    (blaming,) = daemon.until_workers(1, without=pid)
    assert daemon.until_received(blaming, "start")["poison"] == [["work", "127.0.0.1:4730", "udaily", 1, 0]]
    daemon.send(signal.SIGHUP)
    (reloaded,) = daemon.until_workers(1, without=blaming)
    assert daemon.until_received(reloaded, "start")["poison"] == []
    daemon.tell(reloaded, exit=1)
    (replacement,) = daemon.until_workers(1, without=reloaded)
    assert daemon.until_received(replacement, "start")["poison"] == []


def test_deaths_under_old_code_do_not_count_under_new_code(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (old,) = daemon.workers()
    daemon.tell(old, page=[int(Activity.JOB), 0, "H:x:1", "bad"])
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.events("daemon.reloaded"), "the reload")
    (new,) = daemon.until_workers(1, without=old)
    os.kill(old, signal.SIGSEGV)
    wait_for(lambda: daemon.events("job.blamed"), "the death")
    (blamed,) = daemon.events("job.blamed")
    assert (blamed["worker"], blamed["unique"]) == (old, "bad")
    os.kill(new, signal.SIGKILL)
    (third,) = daemon.until_workers(1, without=new)
    assert daemon.until_received(third, "start")["poison"] == []
