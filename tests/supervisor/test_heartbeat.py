"""An embedded job server whose event loop stands still is noticed, and in the end replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool import Client
from gearpool.supervisor.heartbeat import KILL_S, MAX_GAP_S, WARN_S, Heartbeat
from tests.integration.daemons import Site
from tests.processes import free_port, wait_for
from tests.supervisor.fake_loop import FakeLoop


class Scene:
    """A job server that beats when it is told to, and what is heard of it."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.turn = 1
        self.heard: list[tuple[str, float]] = []
        child: Any = SimpleNamespace(beat=lambda: SimpleNamespace(turn=self.turn))
        self.heartbeat = Heartbeat(
            self.loop,  # type: ignore[arg-type]
            child,
            silent=lambda seconds: self.heard.append(("silent", seconds)),
            again=lambda seconds: self.heard.append(("again", seconds)),
            given_up=lambda seconds: self.heard.append(("given up", seconds)),
            clock=lambda: self.loop.now,
        )

    def beat_for(self, seconds: int) -> None:
        for _ in range(seconds):
            self.turn += 1
            self.loop.advance(1.0)


def test_nothing_is_said_of_one_that_beats() -> None:
    scene = Scene()
    scene.beat_for(300)
    assert (scene.heard, scene.heartbeat.silent_s) == ([], 0.0)


def test_silence_is_said_and_then_its_end() -> None:
    scene = Scene()
    scene.loop.advance(WARN_S + 1.0)
    assert scene.heard == [("silent", WARN_S)]
    assert scene.heartbeat.is_silent
    scene.beat_for(5)
    assert [what for what, _ in scene.heard] == ["silent", "again"]
    assert not scene.heartbeat.is_silent
    scene.loop.advance(WARN_S + 1.0)
    assert [what for what, _ in scene.heard] == ["silent", "again", "silent"]


def test_it_is_given_up_once() -> None:
    scene = Scene()
    scene.loop.advance(KILL_S + 60.0)
    assert scene.heard == [("silent", WARN_S), ("given up", KILL_S)]
    assert scene.loop.timers == []


def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    scene = Scene()
    scene.loop.advance(3600.0, step=3600.0)
    assert (scene.heard, scene.heartbeat.silent_s) == ([], MAX_GAP_S)
    scene.beat_for(3)
    assert scene.heard == []


def test_nobody_listens_after_the_end() -> None:
    scene = Scene()
    scene.heartbeat.stop()
    scene.loop.advance(KILL_S * 2)
    assert (scene.heard, scene.loop.timers) == ([], [])


# A real one.

MAIN = """
import json, sys
from gearpool.supervisor.daemon import Daemon
from gearpool.supervisor.options import Options
sys.exit(Daemon(Options(sys.argv[1], silent_kill_s=5.0)).run())
"""


class Embedded(Site):
    """A daemon with the embedded server, which is given up early."""

    def start(self, *options: str) -> Embedded:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, str(self.path)], stderr=log, env=self.environment, process_group=0
            )
        return self


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    embed = f"{{listen: '127.0.0.1:{free_port()}', store: jobs.sqlite}}"
    site = Embedded(
        tmp_path / "site",
        f"servers: embedded\nembedded: {embed}\nlog: {{format: json}}\nfunctions: {{record: site_handlers.record}}\n",
    )
    yield site
    site.close()


def test_a_job_server_that_was_stopped_is_told_killed_and_replaced_with_its_jobs(embedded: Embedded) -> None:
    embedded.start().until_serving()
    status = embedded.ask("status")
    (server,) = status["servers"]
    pid = status["jobserver"]["pid"]
    with Client(server) as client:
        client.submit_background_job("later", b"kept")
    os.kill(pid, signal.SIGSTOP)
    silent = wait_for(lambda: embedded.events("jobserver.silent"), "the silence to be logged")
    assert silent[0]["jobserver"] == pid
    assert "the embedded job server" in embedded.ask("ping")["problem"]
    wait_for(lambda: embedded.events("jobserver.killed"), "it to be killed")
    wait_for(lambda: len(embedded.events("jobserver.ready")) == 2, "another one")
    embedded.until_serving()
    assert embedded.ask("ping")["problem"] is None
    with Client(server) as client:
        assert client.submit_job("record", b"abc", timeout=30) == b"cba"
        (rows,) = client.admin.status().values()
        assert [row.total for row in rows if row.function == "later"] == [1]
    embedded.send(signal.SIGTERM)
    assert embedded.wait() == 0
