from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.settings import EmbeddedSettings, FunctionSettings, LogSettings
from gearpool.supervisor import control_client
from gearpool.supervisor.checking import CheckResult
from gearpool.supervisor.lifecycle import Lifecycle
from gearpool.supervisor.reloading import Reloader
from gearpool.supervisor.states import DaemonEvent, DaemonState
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
    assert not any(message["do"] == "drain" for pid in old for message in daemon.received(pid))
    (daemon.children / "hold").unlink()
    until_reloaded(daemon)
    assert daemon.workers() == new
    for pid in old:
        daemon.until_received(pid, "drain")


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


def test_a_reload_of_an_unchanged_file_starts_new_processes(daemons: Factory) -> None:
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
    applied = daemon.until_received(pid, "apply")["settings"]
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


def test_hups_during_a_reload_cause_one_more_reload(daemons: Factory) -> None:
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
    with pytest.raises(control_client.RefusedError, match="no such key"):
        daemon.ask("reload")


def test_term_during_a_reload_ends_old_and_new(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (daemon.children / "hold").touch()
    daemon.send(signal.SIGHUP)
    wait_for(lambda: daemon.workers("starting"), "the new worker")
    daemon.send(signal.SIGTERM)
    assert daemon.wait() == 0


def test_a_check_cancelled_by_term_is_handled_once(daemons: Factory) -> None:
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
    with pytest.raises(control_client.RefusedError, match="restart"):
        daemon.ask("reload")


class Scene:
    """A running daemon's reloader whose checker and fleet a test drives."""

    def __init__(self, folder: str | None = None) -> None:
        self.settings = plain_settings()
        self.check_error: OSError | None = None
        self.web_problems: list[str] = []
        self.web: list[str] = []
        self.events: list[Any] = []
        self.checks: list[Callable[[CheckResult], object]] = []
        self.rollouts: list[tuple[Callable[[], object], Callable[[list[str], int | None], object]]] = []
        self.lifecycle = Lifecycle()
        self.lifecycle.advance(DaemonEvent.CHECKED)
        note = self.events.append
        self.fleet = SimpleNamespace(
            settings=self.settings, apply=lambda settings: note(("apply", settings.concurrency)),
            roll_out=lambda _settings, ready, failed: self.rollouts.append((ready, failed)),
        )  # fmt: skip
        self.report = SimpleNamespace(files={}, reloads={"ok": 0, "failed": 0})
        manager = SimpleNamespace(reloading=lambda: note("reloading"), ready=lambda: note("ready"))
        web = SimpleNamespace(
            prepare=lambda _: self.web_problems,
            abandon=lambda: self.web.append("abandoned"),
            apply=lambda _: self.web.append("applied"),
        )
        self.reloader = Reloader(
            self.start_check, folder, lifecycle=self.lifecycle, fleet=self.fleet, report=self.report,  # type: ignore[arg-type]
            recycler=SimpleNamespace(fresh_bytes=0, start=lambda: None), service_manager=manager,  # type: ignore[arg-type]
            web=web,  # type: ignore[arg-type]
            on_reloaded=lambda result, _settings: note(("reloaded", result.code)),
        )  # fmt: skip
        self.reloader.code = "v1"

    def start_check(self, done: Callable[[CheckResult], object]) -> Any:
        if self.check_error is not None:
            raise self.check_error
        self.checks.append(done)
        return SimpleNamespace(cancel=lambda: self.events.append("cancelled"))

    def run(self) -> Scene:
        self.lifecycle.advance(DaemonEvent.READY)
        return self

    def check(self, code: str = "v1", **changes: Any) -> None:
        """The checker finds a valid configuration."""
        self.checks.pop()(CheckResult(dataclasses.replace(self.settings, **changes), code=code))

    def fail(self, *problems: str) -> None:
        self.checks.pop()(CheckResult(None, problems))


def test_a_live_change_is_applied_without_new_processes() -> None:
    scene, replies = Scene().run(), list[list[str]]()
    scene.reloader.ask(replies.append)
    scene.check(concurrency=7)
    assert scene.events == ["reloading", ("apply", 7), ("reloaded", "v1"), "ready"]
    assert (replies, scene.report.reloads, scene.rollouts) == ([[]], {"ok": 1, "failed": 0}, [])


def test_new_code_needs_new_processes_even_for_a_live_change() -> None:
    scene, replies = Scene().run(), list[list[str]]()
    scene.reloader.ask(replies.append)
    scene.check("v2", concurrency=7)
    assert (scene.lifecycle.state, replies) == (DaemonState.RELOADING, [])
    scene.rollouts[0][0]()
    assert (scene.lifecycle.state, scene.reloader.code, replies) == (DaemonState.RUNNING, "v2", [[]])


def test_an_address_of_http_that_cannot_be_used_fails_the_reload() -> None:
    scene, replies = Scene().run(), list[list[str]]()
    scene.web_problems = ["cannot listen"]
    scene.reloader.ask(replies.append)
    scene.check("v2")
    assert (replies, scene.rollouts, scene.web) == ([["cannot listen"]], [], ["abandoned"])


def test_a_new_address_of_http_is_given_up_with_the_rollout_and_used_after_it() -> None:
    scene = Scene().run()
    scene.reloader.ask()
    scene.check("v2")
    scene.rollouts[0][1](["a worker ended"], 1)
    assert scene.web == ["abandoned"]
    scene.reloader.ask()
    scene.check("v2")
    scene.rollouts[1][0]()
    assert scene.web == ["abandoned", "applied"]


def test_a_failed_rollout_keeps_the_old_code() -> None:
    scene, replies = Scene().run(), list[list[str]]()
    scene.reloader.ask(replies.append)
    scene.check("v2")
    scene.rollouts[0][1](["a worker ended"], 1)
    assert (scene.lifecycle.state, scene.reloader.code, replies) == (DaemonState.RUNNING, "v1", [["a worker ended"]])
    assert scene.report.reloads == {"ok": 0, "failed": 1}


def test_requests_during_a_reload_are_answered_by_one_more() -> None:
    scene, replies = Scene().run(), list[list[str]]()
    for _ in range(3):
        scene.reloader.ask(replies.append)
    scene.fail("bad")
    assert (len(scene.checks), replies) == (1, [])
    scene.check(concurrency=7)
    assert (scene.checks, replies) == ([], [[]] * 3)


def test_a_reload_requested_during_the_start_follows_it() -> None:
    scene = Scene()
    scene.reloader.ask()
    scene.reloader.catch_up()
    assert scene.checks == []
    scene.run().reloader.catch_up()
    assert len(scene.checks) == 1


def test_stop_cancels_the_check_and_answers_everyone() -> None:
    scene, replies = Scene().run(), list[list[str]]()
    scene.reloader.ask(replies.append)
    scene.lifecycle.advance(DaemonEvent.STOP)
    scene.reloader.stop()
    scene.reloader.ask(replies.append)
    assert replies == [["the daemon is stopping"]] * 2
    assert scene.events == ["reloading", "cancelled"]


def test_a_checker_that_cannot_be_started_fails_the_reload() -> None:
    scene, replies = Scene().run(), list[list[str]]()
    scene.check_error = OSError("Too many processes")
    scene.reloader.ask(replies.append)
    assert replies == [["cannot start the checker: Too many processes"]]


def test_a_failed_reload_returns_to_the_folder_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "current"
    link.symlink_to("one")
    monkeypatch.chdir(link)
    scene = Scene(str(link)).run()
    link.unlink()
    link.symlink_to("two")
    scene.reloader.ask()
    assert Path.cwd().name == "two"
    scene.fail("bad")
    assert Path.cwd().name == "one"
    scene.reloader.ask()
    scene.check(concurrency=7)
    assert Path.cwd().name == "two"
