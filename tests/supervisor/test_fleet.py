from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import MAIN, PRINT, ScriptedDaemon, plain_settings


def test_pause_and_resume_reach_current_and_new_workers(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    answer = daemon.ask("pause", function="work")
    assert answer == {"function": "work", "paused": True, "quiet": False, "paused_functions": ["work"]}
    daemon.until_received(pid, "pause")
    daemon.ask("recycle")
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.until_received(new, "pause")["function"] == "work"
    daemon.ask("resume", function="work")
    daemon.until_received(new, "resume")


def test_resize_reaches_current_and_new_workers(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.ask("resize", function="work", concurrency=7)
    assert daemon.until_received(pid, "apply")["settings"]["functions"][0]["concurrency"] == 7
    daemon.ask("recycle")
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.until_received(new, "start")["settings"]["functions"][0]["concurrency"] == 7


def test_counters_do_not_fall_when_a_worker_is_replaced_and_need_no_report(daemons: Factory) -> None:
    def completed() -> int:
        return int(daemon.ask("status")["functions"]["work"]["outcomes"]["complete"])

    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, say={"event": "status", "functions": {"work": {"slots": 3}}, "in_progress": 2})
    daemon.tell(pid, count=["complete", 5])
    wait_for(lambda: completed() == 5, "the count")
    status = daemon.ask("status")
    assert (status["in_progress"], status["functions"]["work"]["slots"]) == (2, 3)
    daemon.tell(pid, count=["complete", 2])
    daemon.tell(pid, kill=int(signal.SIGKILL))
    (new,) = daemon.until_workers(1, without=pid)
    status = daemon.ask("status")
    assert completed() == 7, "what was counted right before it was killed, too"
    assert (status["functions"]["work"]["slots"], status["functions"]["work"]["age_s"]) == (None, None), "no gauges"
    daemon.tell(new, count=["complete", 5])
    wait_for(lambda: completed() == 12, "the new one's count")
    (row,) = daemon.ask("status")["workers"]
    assert row["jobs"] == 5


def test_settings_reach_the_worker_unchanged(daemons: Factory) -> None:
    settings = plain_settings(processes=2)
    daemon = daemons(settings).start().until_ready()
    sent = daemon.until_received(daemon.workers()[0], "start")["settings"]
    assert sent["functions"][0] == json.loads(json.dumps(dataclasses.asdict(settings.functions[0])))


def test_a_worker_that_is_killed_is_replaced(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    first, second = daemon.workers()
    os.kill(first, signal.SIGKILL)
    assert second in daemon.until_workers(2, without=first)


def test_a_worker_that_ignores_the_drain_is_killed_after_the_timeout(daemons: Factory) -> None:
    daemon = daemons(plain_settings(drain_timeout_s=0.1)).start().until_ready()
    (daemon.children / "linger").touch()
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 1


def test_a_worker_started_while_the_daemon_is_quiet_is_made_quiet(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.send(signal.SIGTSTP)
    daemon.until_received(pid, "quiet")
    os.kill(pid, signal.SIGKILL)
    (new,) = daemon.until_workers(1, without=pid)
    daemon.until_received(new, "quiet")


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


def test_a_worker_that_cannot_be_executed_fails_the_start(daemons: Factory, tmp_path: Path) -> None:
    daemon = with_program(daemons, tmp_path).start()
    assert daemon.wait() == 70
    assert "cannot start a worker" in daemon.events("daemon.start_failed")[0]["message"]


def test_a_replacement_that_cannot_be_executed_is_retried(daemons: Factory, tmp_path: Path) -> None:
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
