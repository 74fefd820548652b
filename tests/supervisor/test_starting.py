from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gearpool.settings import EmbeddedSettings
from gearpool.supervisor.options import Programs
from gearpool.supervisor.stacks import importing_line
from gearpool.supervisor.starting import MAX_GAP_S, WARN_S, StartupWatch
from tests.integration.daemons import Site
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import MAIN, ROOT, ScriptedDaemon, plain_settings
from tests.supervisor.fake_loop import FakeLoop


class FakeStart:
    def __init__(self) -> None:
        self.pid = 7
        self.starting = True
        self.signals: list[int] = []

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        self.signals.append(signal.SIGUSR1)
        then('  File "/site/shop.py", line 3 in <module>\n')


def watched(limit_s: float = 100.0) -> tuple[FakeLoop, FakeStart, list[str]]:
    loop, start = FakeLoop(), FakeStart()
    overdue: list[str] = []
    starts = StartupWatch(loop, limit_s, lambda: loop.now)  # type: ignore[arg-type]
    starts.watch(start, "worker 7", overdue.append)
    return loop, start, overdue


def test_a_slow_start_logs_the_importing_line_and_is_given_up_at_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, start, overdue = watched()
    loop.advance(WARN_S - 1.0)
    assert start.signals == []
    loop.advance(3.0)
    assert [getattr(record, "gearpool_message", "") for record in caplog.records] == [
        "worker 7 is not ready after 15 s; it will be killed after 100 s. It is currently at /site/shop.py:3."
    ]
    assert caplog.records[0].levelname == "WARNING"
    loop.advance(70.0)
    assert overdue == []
    loop.advance(20.0)
    assert overdue == ["worker 7 was not ready after 100 s; it hangs at /site/shop.py:3"]
    loop.advance(200.0)
    assert len(overdue) == 1
    assert loop.timers == []


def test_a_start_that_succeeds_is_no_longer_watched() -> None:
    loop, start, overdue = watched()
    loop.advance(5.0)
    start.starting = False
    loop.advance(200.0)
    assert (start.signals, overdue, loop.timers) == ([], [], [])


def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    loop, start, overdue = watched()
    loop.advance(3600.0, step=3600.0)
    loop.advance(WARN_S - MAX_GAP_S - 2.0)
    assert (start.signals, overdue) == ([], [])


def test_the_importing_line_is_in_user_code() -> None:
    stacks = """Current thread 0x1 (most recent call first):
  File "/lib/python3.11/socket.py", line 833 in create_connection
  File "/site/shop/db.py", line 12 in connect
  File "/site/shop/db.py", line 20 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "/site/handlers.py", line 1 in <module>
  File "/lib/gearpool/children/worker.py", line 154 in <module>
"""
    assert importing_line(stacks) == "/site/shop/db.py:20"
    assert importing_line('  File "/lib/gearpool/children/worker.py", line 154 in <module>\n') is None


# Daemons with scripted children.

LIMIT_S = 4.0
HANG_LIMIT_S = 10.0
"""Python, gevent and the handlers are imported within this, also on a busy machine."""
"""Enough for a child that does not hang to become ready, on a busy machine too."""


def hold(daemon: ScriptedDaemon) -> None:
    (daemon.children / "hold").touch()


def release(daemon: ScriptedDaemon) -> None:
    (daemon.children / "hold").unlink()


def ping(daemon: ScriptedDaemon) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gearpool", "ping", "-c", str(daemon.path)],
        env=daemon.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def until_given_up(daemon: ScriptedDaemon) -> None:
    wait_for(lambda: daemon.events("start.overdue"), "a start to be given up")
    assert daemon.events("start.slow")


def test_a_replacement_that_does_not_become_ready_is_given_up_and_retried(daemons: Factory) -> None:
    daemon = daemons(start_s=LIMIT_S).start().until_ready()
    (worker,) = daemon.workers()
    hold(daemon)
    daemon.tell(worker, kill=9)
    until_given_up(daemon)
    answer = ping(daemon)
    assert answer.returncode == 69
    assert "nothing is served: no worker is ready" in answer.stdout
    assert "no worker is ready" in daemon.ask("status")["problem"]
    release(daemon)
    daemon.until_workers(1, without=worker)
    assert ping(daemon).returncode == 0
    assert daemon.ask("status")["restarts"]["not_ready"] >= 1


def test_ping_reports_that_the_daemon_is_still_starting(daemons: Factory) -> None:
    daemon = daemons()
    hold(daemon)
    daemon.start()
    wait_for(lambda: daemon.socket().exists() and daemon.workers("starting"), "a worker to start")
    answer = ping(daemon)
    assert answer.returncode == 69
    assert "no worker is ready; 1 are starting" in answer.stdout
    assert "starting, process" in answer.stdout
    release(daemon)
    daemon.until_ready()
    assert ping(daemon).returncode == 0


def test_a_draining_daemon_is_healthy(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (daemon.children / "linger").touch()
    daemon.ask("drain")
    assert daemon.ask("ping")["problem"] is None


def test_the_limit_applies_to_recycling_and_resizing_while_the_old_worker_serves(daemons: Factory) -> None:
    daemon = daemons(start_s=LIMIT_S).start().until_ready()
    (worker,) = daemon.workers()
    hold(daemon)
    daemon.tell(worker, say={"event": "recycle", "reason": "asked"})
    daemon.send(signal.SIGTTIN)
    wait_for(lambda: len({event["worker"] for event in daemon.events("start.overdue")}) >= 2, "both to be given up")
    assert worker in daemon.workers("retiring")
    assert daemon.ask("ping")["problem"] is None


def test_the_limit_applies_to_a_reload_which_then_changes_nothing(daemons: Factory) -> None:
    daemon = daemons(start_s=LIMIT_S).start().until_ready()
    hold(daemon)
    daemon.send(signal.SIGHUP)
    failed = wait_for(lambda: daemon.events("daemon.reload_failed"), "the reload to be given up")
    assert "was not ready after 4 s" in failed[0]["message"]
    assert len(daemon.workers()) == 1
    assert daemon.ask("ping")["problem"] is None


def test_the_limit_applies_to_the_job_server(daemons: Factory) -> None:
    settings = dataclasses.replace(plain_settings(), embedded=EmbeddedSettings())
    daemon = daemons(settings, start_s=LIMIT_S)
    hold(daemon)
    assert daemon.start().wait() == 70
    assert "the embedded job server was not ready" in daemon.events("daemon.start_failed")[0]["message"]


# Daemons with real children.


class Hanging(Site):
    """Its handlers' module hangs while it is imported, in the processes of the kind given."""

    def __init__(self, folder: Path, how: str, who: str) -> None:
        super().__init__(folder, "servers: 127.0.0.1:1\nfunctions: {f: hanging.f}\nlog: {format: json}\n")
        (folder / "hanging.py").write_text(
            f"import sys, time\ndef f(arg): pass\nif {who!r} in ' '.join(sys.orig_argv):\n    {how}\n"
        )

    def start(self, *options: str) -> Hanging:
        programs = Programs()
        arguments = json.dumps([programs.checker, programs.worker, programs.jobserver, str(self.path), HANG_LIMIT_S])
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, arguments], stderr=log, env=self.environment, process_group=0
            )
        return self


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Callable[[str, str], Hanging]]:
    made: list[Hanging] = []

    def make(how: str, who: str) -> Hanging:
        made.append(Hanging(tmp_path / "site", how, who))
        return made[-1]

    yield make
    for each in made:
        each.close()


WAYS = {"waits": "time.sleep(600)", "computes": "sum(range(10**12))"}


@pytest.mark.parametrize(("way", "who"), [("waits", "worker"), ("computes", "worker"), ("waits", "checker")])
def test_the_line_that_hangs_is_named(hanging: Callable[[str, str], Hanging], way: str, who: str) -> None:
    site = hanging(WAYS[way], f"gearpool.children.{who}")
    assert site.start().wait() in {70, 78}
    line = f"{site.folder / 'hanging.py'}:4"
    if who == "worker":
        assert site.events("start.overdue")[0]["at"] == line
        assert line in site.events("daemon.start_failed")[0]["message"]
    else:
        assert f"the check of the configuration was not ready after 10 s; it hangs at {line}" in site.stderr()
