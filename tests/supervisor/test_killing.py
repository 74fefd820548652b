from __future__ import annotations

import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.messages import KillJob
from gearpool.page import Activity, Reading
from gearpool.settings import FunctionSettings, ServerSettings, Settings
from gearpool.stall_detector import INSIST_S
from gearpool.supervisor import control_client
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.killing import REPLY_S, Killing
from gearpool.supervisor.states import ChildState
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.fake_loop import FakeLoop

SETTINGS = Settings(
    servers=(ServerSettings(host="a"),), functions=(FunctionSettings(name="work", handler="x.f", timeout_grace_s=5.0),)
)


class Scene:
    """One worker with a job on its CPU that does not answer, and an operator who kills jobs."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.sequence = 3
        self.answers: list[dict[str, Any]] = [{"worker": 7, "error": "blocked"}]
        self.signals: list[int] = []
        self.condemned: list[Suspect] = []
        self.killed_for: list[str] = []
        self.asked: list[int] = []
        self.replies: list[dict[str, Any]] = []
        self.queried: list[str] = []
        self.child = SimpleNamespace(
            pid=7, state=ChildState.READY, signal=self.signals.append, kill=self.killed_for.append,
            page=SimpleNamespace(ask_to_kill=self.asked.append), ask_for_stacks=lambda then: then("stacks"),
            read_page=lambda: Reading(self.sequence, 0.0, 0, Activity.JOB, b"H:1", b"u"),
        )  # fmt: skip
        fleet = SimpleNamespace(
            settings=SETTINGS, settings_of=lambda _: SETTINGS, find={7: self.child}.get, condemn=self.condemned.append
        )
        queries = SimpleNamespace(ask=self.ask)
        self.killing = Killing(self.loop, fleet, queries)  # type: ignore[arg-type] # what it uses of them

    def ask(self, query: Callable[[int], KillJob], done: Callable[[list[dict[str, Any]]], object]) -> None:
        self.queried.append(query(1).handle)
        done(self.answers)

    def kill(self, name: str) -> None:
        self.killing.kill(name, self.replies.append)


def test_a_worker_that_is_not_blocked_ends_the_job_itself() -> None:
    scene = Scene()
    scene.answers = [{"worker": 7, "result": True}]
    scene.kill("a:4730/H:1")
    assert scene.replies == [{"ok": True, "result": {"handle": "a:4730/H:1", "killed": True}}]
    assert scene.queried == ["a:4730/H:1"]
    assert scene.signals == []


def test_a_server_that_the_configuration_does_not_know_is_ignored() -> None:
    scene = Scene()
    scene.kill("other:4730/H:1")
    assert scene.queried == ["H:1"]
    assert scene.asked == [3]


def test_a_job_that_blocks_its_worker_is_interrupted_in_place() -> None:
    scene = Scene()
    scene.kill("H:1")
    scene.loop.advance(1.0, INSIST_S)
    assert (scene.asked, set(scene.signals), scene.replies) == ([3], {signal.SIGUSR2}, [])
    scene.sequence += 1
    scene.loop.advance(1.0, INSIST_S)
    assert scene.replies == [{"ok": True, "result": {"handle": "H:1", "killed": True}}]
    scene.loop.advance(60.0)
    assert (scene.killed_for, scene.condemned) == ([], [])


def test_a_job_that_cannot_be_interrupted_is_killed_with_its_process_and_never_run_again() -> None:
    scene = Scene()
    scene.kill("H:1")
    scene.loop.advance(REPLY_S + 0.5, INSIST_S)
    assert "its process will be killed and the job failed" in scene.replies[0]["error"]
    assert scene.killed_for == []
    scene.loop.advance(10.0, INSIST_S)
    assert scene.killed_for == ["job_killed"]
    assert scene.condemned == [Suspect("work", "a:4730", b"H:1", b"u")]
    assert len(scene.replies) == 1


def test_a_worker_that_has_ended_is_not_interrupted() -> None:
    scene = Scene()
    scene.child.state = ChildState.ENDED
    scene.kill("H:1")
    assert (scene.asked, scene.replies[0]["ok"]) == ([], False)


def test_kill_of_an_unknown_job_is_refused(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with pytest.raises(control_client.RefusedError, match="H:x:5"):
        daemon.ask("kill", handle="H:x:5")


def test_kill_of_a_job_that_a_blocked_worker_may_have_says_so(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, blocked=True)
    daemon.tell(pid, page=[1, 0, "H:x:1", "u"])
    wait_for(lambda: daemon.ask("status")["workers"][0]["stalled_s"], "it to be blocked")
    with pytest.raises(
        control_client.RefusedError, match=rf"worker {pid} did not answer\. If the job runs there, it will be killed"
    ):
        daemon.ask("kill", handle="H:x:5")
    daemon.tell(pid, blocked=False)
    assert daemon.until_received(pid, "kill")["handle"] == "H:x:5"
