from __future__ import annotations

import dataclasses
import os
import signal

import pytest

from gearpool.page import Activity
from gearpool.settings import EmbeddedSettings, FunctionSettings, LogSettings, RecycleSettings
from gearpool.supervisor import calls
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import ScriptedDaemon, plain_settings

OTHER = (FunctionSettings(name="other", handler="c.d"),)


def until_reloaded(daemon: ScriptedDaemon, times: int = 1) -> None:
    wait_for(lambda: len(daemon.events("daemon.reloaded")) == times, "the reload")


def test_new_workers_are_ready_before_the_old_ones_drain(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    old = daemon.workers()
    daemon.configure(plain_settings(processes=2, functions=OTHER))
    (daemon.children / "hold").touch()
    daemon.send(signal.SIGHUP)
    new = wait_for(lambda: len(found := daemon.workers("starting")) == 2 and found, "new workers")
    assert daemon.workers() == old
    assert not any(message["do"] == "drain" for pid in old for message in daemon.heard(pid))
    (daemon.children / "hold").unlink()
    until_reloaded(daemon)
    assert daemon.workers() == new
    for pid in old:
        daemon.hears(pid, "drain")


def test_a_death_of_the_old_code_is_not_held_against_the_job_under_the_new(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (old,) = daemon.workers()
    daemon.tell(old, page=[int(Activity.JOB), 0, "H:x:1", "bad"])
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGHUP)
    until_reloaded(daemon)
    (new,) = daemon.until_workers(1, without=old)
    os.kill(old, signal.SIGSEGV)
    wait_for(lambda: daemon.events("job.blamed"), "the death")
    (blamed,) = daemon.events("job.blamed")
    assert (blamed["worker"], blamed["unique"]) == (old, "bad")
    os.kill(new, signal.SIGKILL)
    (third,) = daemon.until_workers(1, without=new)
    assert daemon.hears(third, "start")["poison"] == []


def test_a_broken_file_changes_nothing_but_the_log(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    before = daemon.workers()
    daemon.configure_badly("workers.yaml:3:1: no such key")
    for times in (1, 2, 3):
        daemon.send(signal.SIGHUP)
        wait_for(lambda times=times: len(daemon.events("daemon.reload_failed")) == times, "the refusal")  # type: ignore[misc] # bound
    assert "workers.yaml:3:1: no such key" in daemon.events("daemon.reload_failed")[0]["message"]
    assert daemon.workers() == before
    assert daemon.ask("status")["reloads"] == {"ok": 0, "failed": 3}


def test_new_workers_that_do_not_start_change_nothing(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    before = daemon.workers()
    (daemon.children / "die").write_text("70")
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.events("daemon.reload_failed"), "the failure")
    assert "told to die" in daemon.events("daemon.reload_failed")[0]["message"]
    wait_for(lambda: daemon.workers() == before and len(daemon.ask("status")["workers"]) == 2, "the old workers only")


def test_an_unchanged_file_takes_new_processes_for_the_new_code(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (old,) = daemon.workers()
    daemon.send(signal.SIGHUP)
    daemon.until_workers(1, without=old)


def test_numbers_alone_are_applied_to_the_running_processes(daemons: Factory) -> None:
    before = plain_settings()
    daemon = daemons(before).start().until_ready()
    (pid,) = daemon.workers()
    function = dataclasses.replace(before.functions[0], concurrency=3, rate_per_s=5.0, weight=2.0, timeout_s=9.0)
    daemon.configure(
        dataclasses.replace(before, concurrency=7, functions=(function,), log=LogSettings(level="debug"), processes=1)
    )
    daemon.send(signal.SIGHUP)
    until_reloaded(daemon)
    applied = daemon.hears(pid, "apply")["settings"]
    assert (applied["concurrency"], applied["functions"][0]["rate_per_s"]) == (7, 5.0)
    assert daemon.workers() == [pid]


def test_a_change_of_processes_alone_starts_or_drains_the_difference(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.configure(plain_settings(processes=3))
    daemon.send(signal.SIGHUP)
    assert pid in daemon.until_workers(3)
    daemon.configure(plain_settings(processes=1))
    daemon.send(signal.SIGHUP)
    assert daemon.until_workers(1) == [pid]


def test_hups_during_a_reload_are_served_by_one_more(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (daemon.children / "hold").touch()
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.workers("starting"), "the new worker")
    for _ in range(3):
        daemon.send(signal.SIGHUP)
    daemon.ask("ping")
    (daemon.children / "hold").unlink()
    until_reloaded(daemon, 2)
    daemon.ask("reload")
    assert len(daemon.events("daemon.reloaded")) == 3


def test_reload_by_request_answers_with_the_problems(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.configure_badly("workers.yaml:3:1: no such key")
    with pytest.raises(calls.RefusedError, match="no such key"):
        daemon.ask("reload")


def test_term_during_a_reload_ends_old_and_new(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (daemon.children / "hold").touch()
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.workers("starting"), "the new worker")
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0


def test_a_check_that_was_cut_off_by_term_is_taken_note_of_once(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.path.unlink()
    os.mkfifo(daemon.path)  # the checker waits for a writer
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.events("daemon.reloading"), "the reload")
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0
    assert not daemon.events("supervisor.error")


def test_the_embedded_server_cannot_change_under_a_reload(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.configure(plain_settings(embedded=EmbeddedSettings()))
    with pytest.raises(calls.RefusedError, match="restart"):
        daemon.ask("reload")


def test_a_memory_limit_below_a_fresh_process_is_refused_at_the_start(daemons: Factory) -> None:
    daemon = daemons(plain_settings(recycle=RecycleSettings(memory_bytes=1_000_000)))
    assert daemon.start().wait() == 78
    assert "recycle.memory" in daemon.events("daemon.start_failed")[0]["message"]


def test_a_memory_limit_below_a_fresh_process_is_refused_by_a_reload(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    before = daemon.workers()
    daemon.configure(plain_settings(recycle=RecycleSettings(memory_bytes=1_000_000)))
    with pytest.raises(calls.RefusedError, match=r"recycle\.memory"):
        daemon.ask("reload")
    assert daemon.workers() == before


def test_a_worker_that_has_run_enough_jobs_is_replaced(daemons: Factory) -> None:
    daemon = daemons(plain_settings(recycle=RecycleSettings(jobs=10, jitter=0.0))).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, say={"event": "status", "functions": {"work": {"outcomes": {"complete": 10}}}})
    daemon.until_workers(1, without=pid)
    assert daemon.ask("status")["restarts"] == {"jobs": 1}


def test_a_worker_that_asks_for_it_is_replaced(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, say={"event": "recycle", "reason": "stuck"})
    daemon.until_workers(1, without=pid)
    assert daemon.hears(pid, "drain")
