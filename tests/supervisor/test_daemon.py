from __future__ import annotations

import os
import signal

from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import exists, plain_settings


def test_term_drains_the_workers_and_exits_0(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    first, second = daemon.workers()
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.hears(first, "drain")["seconds"] == 5.0
    assert not exists(first)
    assert not exists(second)


def test_term_before_all_are_ready_lets_those_that_serve_already_finish(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2))
    (daemon.children / "hold").touch()
    (daemon.children / "one").touch()
    daemon.start()
    wait_for(lambda: daemon.events("worker.ready"), "the first worker")
    (first,) = daemon.workers()
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.hears(first, "drain")["seconds"] == 5.0


def test_a_configuration_with_problems_prints_them_and_exits_78(daemons: Factory) -> None:
    daemon = daemons()
    daemon.configure_badly("workers.yaml:1:1: nonsense", "workers.yaml:2:1: more")
    assert daemon.start().wait() == 78
    assert "workers.yaml:1:1: nonsense\nworkers.yaml:2:1: more\n" in daemon.stderr()


def test_a_checker_that_fails_is_not_taken_for_a_bad_configuration(daemons: Factory) -> None:
    daemon = daemons()
    daemon.path.write_text("not json")
    assert daemon.start().wait() == 70


def test_a_worker_that_cannot_start_stops_the_start_with_its_error(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2))
    (daemon.children / "die").write_text("70")
    assert daemon.start().wait() == 70
    assert "told to die" in daemon.events("daemon.start_failed")[0]["message"]


def test_the_exit_code_of_a_child_that_says_more_is_passed_on(daemons: Factory) -> None:
    daemon = daemons()
    (daemon.children / "die").write_text("73")
    assert daemon.start().wait() == 73


def test_a_worker_that_never_becomes_ready_stops_the_start(daemons: Factory) -> None:
    daemon = daemons(start_s=1.0)
    (daemon.children / "hold").touch()
    assert daemon.start().wait() == 70
    assert "not ready" in daemon.events("daemon.start_failed")[0]["message"]


def test_a_worker_that_is_killed_is_replaced(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    first, second = daemon.workers()
    os.kill(first, signal.SIGKILL)
    assert second in daemon.until_workers(2, without=first)


def test_what_a_killed_worker_had_started_is_ended_with_it(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, spawn=True)
    note = daemon.children / f"{pid}.spawned"
    started = int(wait_for(lambda: note.exists() and note.read_text(), "the worker's own child"))
    assert exists(started)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not exists(started), "its end")


def test_a_worker_that_crashes_again_and_again_ends_the_daemon_with_70(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.tell("all", exit=9)
    assert daemon.wait() == 70
    assert daemon.events("daemon.crash_loop")


def test_quit_sends_the_deadline_with_the_drain(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGQUIT)
    daemon.hears(pid, "hasten")
    (daemon.children / "linger").unlink()
    assert daemon.wait() == 0


def test_a_second_int_hastens_and_one_that_lingers_is_killed(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGINT)
    daemon.hears(pid, "drain")
    daemon.send(signal.SIGINT)
    daemon.hears(pid, "hasten")
    assert daemon.wait() == 1
    assert daemon.events("worker.drain_overdue")
    assert not exists(pid)


def test_a_worker_that_ignores_the_drain_is_killed_after_the_timeout(daemons: Factory) -> None:
    daemon = daemons(plain_settings(drain_timeout_s=0.1)).start().until_ready()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 1


def test_a_signal_to_the_group_is_a_signal_to_the_parent(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    assert daemon.process is not None
    os.killpg(daemon.process.pid, signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.hears(pid, "drain")
    assert daemon.events("worker.gone")[0]["level"] == "info"


def test_children_are_deaf_to_signals_from_their_birth(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        os.kill(pid, number)
    daemon.ask("pause", function="work")
    daemon.hears(pid, "pause")
    assert daemon.workers() == [pid]


def test_children_leave_when_the_supervisor_is_killed(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    pids = daemon.workers()
    daemon.close()
    for pid in pids:
        wait_for(lambda pid=pid: not exists(pid), "the child to leave")  # type: ignore[misc] # bound


def test_tstp_makes_quiet_and_cont_resumes(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.send(signal.SIGTSTP)
    daemon.hears(pid, "quiet")
    assert daemon.ask("status")["state"] == "quiet"
    daemon.send(signal.SIGCONT)
    daemon.hears(pid, "resume")
    assert daemon.ask("status")["state"] == "running"


def test_a_worker_that_starts_while_the_daemon_is_quiet_is_told_so(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.send(signal.SIGTSTP)
    daemon.hears(pid, "quiet")
    os.kill(pid, signal.SIGKILL)
    (new,) = daemon.until_workers(1, without=pid)
    daemon.hears(new, "quiet")


def test_ttin_adds_and_ttou_drains_a_worker(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.send(signal.SIGTTIN)
    daemon.until_workers(2)
    daemon.send(signal.SIGTTOU)
    assert daemon.until_workers(1) == [pid]


def test_ttou_keeps_the_last_worker(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.send(signal.SIGTTOU)
    wait_for(lambda: daemon.events("daemon.resized"), "the signal to be served")
    assert daemon.ask("status")["processes"] == 1


def test_usr1_logs_the_stacks_of_every_worker(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    daemon.send(signal.SIGUSR1)
    wait_for(lambda: len(daemon.events("worker.stacks")) == 2, "two stacks in the log")


def test_a_second_daemon_of_the_same_file_is_refused_with_73(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    first = daemon.process
    assert daemon.start().wait() == 73
    daemon.process = first
    assert daemon.ask("ping")["state"] == "running"


def test_a_stale_socket_is_replaced(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.kill()
    assert daemon.socket().exists()
    daemon.start()
    wait_for(lambda: len(daemon.events("daemon.ready")) == 2, "the second daemon")
    assert daemon.ask("ping")["pid"] == daemon.process.pid  # type: ignore[union-attr] # it runs
