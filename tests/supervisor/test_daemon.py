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
    assert daemon.until_received(first, "drain")["seconds"] == 5.0
    assert not exists(first)
    assert not exists(second)


def test_term_during_the_start_drains_the_ready_workers(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2))
    (daemon.children / "hold").touch()
    (daemon.children / "one").touch()
    daemon.start()
    wait_for(lambda: daemon.events("worker.ready"), "the first worker")
    (first,) = daemon.workers()
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.until_received(first, "drain")["seconds"] == 5.0


def test_a_configuration_with_problems_prints_them_and_exits_78(daemons: Factory) -> None:
    daemon = daemons()
    daemon.configure_badly("workers.yaml:1:1: nonsense", "workers.yaml:2:1: more")
    assert daemon.start().wait() == 78
    assert "workers.yaml:1:1: nonsense\nworkers.yaml:2:1: more\n" in daemon.stderr()


def test_a_worker_that_fails_to_start_fails_the_start_with_its_error(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2))
    (daemon.children / "die").write_text("70")
    assert daemon.start().wait() == 70
    assert "told to die" in daemon.events("daemon.start_failed")[0]["message"]


def test_a_specific_exit_code_of_a_child_is_passed_on(daemons: Factory) -> None:
    daemon = daemons()
    (daemon.children / "die").write_text("73")
    assert daemon.start().wait() == 73


def test_a_worker_that_never_becomes_ready_fails_the_start(daemons: Factory) -> None:
    daemon = daemons(start_s=1.0)
    (daemon.children / "hold").touch()
    assert daemon.start().wait() == 70
    assert "not ready" in daemon.events("daemon.start_failed")[0]["message"]


def test_a_crash_loop_ends_the_daemon_with_70(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.tell("all", exit=9)
    assert daemon.wait() == 70
    assert daemon.events("daemon.crash_loop")


def test_quit_drains_and_ends_the_drain_at_once(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGQUIT)
    daemon.until_received(pid, "hasten")
    (daemon.children / "linger").unlink()
    assert daemon.wait() == 0


def test_a_second_int_ends_the_drain_and_kills_a_worker_that_does_not_exit(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGINT)
    daemon.until_received(pid, "drain")
    daemon.send(signal.SIGINT)
    daemon.until_received(pid, "hasten")
    assert daemon.wait() == 1
    assert daemon.events("worker.drain_overdue")
    assert not exists(pid)


def test_a_signal_to_the_process_group_is_handled_by_the_supervisor_only(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    assert daemon.process is not None
    os.killpg(daemon.process.pid, signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.until_received(pid, "drain")
    assert daemon.events("worker.gone")[0]["level"] == "info"


def test_tstp_quiets_and_cont_resumes(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.send(signal.SIGTSTP)
    daemon.until_received(pid, "quiet")
    assert daemon.ask("status")["state"] == "quiet"
    daemon.send(signal.SIGCONT)
    daemon.until_received(pid, "resume")
    assert daemon.ask("status")["state"] == "running"


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
