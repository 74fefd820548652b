from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gearpool.cli.daemon import overrides
from gearpool.cli.main import COMMANDS
from gearpool.page import Activity
from tests.cli.terminals import at_terminal
from tests.processes import unmeasured, wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import ROOT, ScriptedDaemon, plain_settings

CONTROL = (
    "ping", "status", "top", "failures", "jobs", "stacks", "pause", "resume", "resize", "kill", "recycle", "reload",
    "drain", "stop", "log-level",
)  # fmt: skip


def gearpool(daemon: ScriptedDaemon | None, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gearpool", *words],
        env=None if daemon is None else daemon.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ping_says_that_the_daemon_is_there(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    for words in (["-c", str(daemon.path)], ["--socket", str(daemon.socket())]):
        answer = gearpool(daemon, "ping", *words)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "running" in answer.stdout


def test_ping_exits_69_when_there_is_no_daemon(daemons: Factory) -> None:
    daemon = daemons()
    answer = gearpool(daemon, "ping", "-c", str(daemon.path))
    assert answer.returncode == 69
    assert "no running gearpool" in answer.stderr
    assert str(daemon.socket()) in answer.stderr


def test_ping_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['gearpool', 'ping', '--socket', '/nonexistent']\n"
        "from gearpool.cli.main import main\n"
        "assert main() == 69\n"
        "heavy = {'gevent', 'pydantic', 'yaml', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=unmeasured(), capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_status_shows_workers_functions_and_servers(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    first, second = daemon.workers()
    functions = {"work": {"in_progress": 3}}
    daemon.tell(first, count=["complete", 41])
    daemon.tell(first, count=["timeout", 2])
    daemon.tell(first, say={"event": "status", "functions": functions, "servers": {"s:4730": False}})
    wait_for(lambda: daemon.ask("status")["servers"], "the status to be told")
    text = gearpool(daemon, "status", "-c", str(daemon.path)).stdout
    assert str(first) in text
    assert str(second) in text
    assert "41" in text
    assert "2 timeout" in text
    assert "s:4730  connecting" in text, "the workers are a moment old"
    assert f"worker {second} has told nothing yet" in text
    as_json = json.loads(gearpool(daemon, "status", "-c", str(daemon.path), "--json").stdout)
    assert (as_json["functions"]["work"]["in_progress"], as_json["functions"]["work"]["outcomes"]["complete"]) == (
        3,
        41,
    )


def test_a_job_that_blocks_its_worker_before_a_status_was_sent_counts_as_in_progress(daemons: Factory) -> None:
    daemon = daemons(plain_settings(stall_timeout_s=600.0)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[int(Activity.JOB), 0, "H:x:1", "u"])
    daemon.tell(pid, blocked=True)
    wait_for(lambda: daemon.ask("status")["workers"][0]["stalled_s"] > 0, "the stall to be seen")
    status = daemon.ask("status")
    assert (status["in_progress"], status["workers"][0]["in_progress"]) == (1, 1)
    text = gearpool(daemon, "status", "-c", str(daemon.path)).stdout
    assert "by work H:x:1" in text
    assert "1 job" in text.split("\n")[0]


def test_top_in_a_pipe_prints_once_and_exits(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    functions = {"work": {"in_progress": 3, "slots": 9}}
    daemon.tell(pid, count=["complete", 41])
    daemon.tell(pid, say={"event": "status", "functions": functions, "servers": {"s:4730": True}})
    wait_for(lambda: daemon.ask("status")["servers"], "the status to be told")
    for variables in ({}, {"TERM": "dumb"}):
        daemon.environment.update(variables)
        answer = gearpool(daemon, "top", "--every", "10ms", "-c", str(daemon.path))
        assert (answer.returncode, answer.stderr) == (0, "")
        (row,) = [line.split() for line in answer.stdout.split("\n") if line.startswith("work ")]
        assert row == ["work", "0.0", "3/9", "41", "0", "<25ms", "<25ms"]
        assert "\x1b" not in answer.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_top_restores_the_terminal_on_every_signal(daemons: Factory, number: signal.Signals) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    functions = {f"function{n:02}": {"outcomes": {"complete": n}, "in_progress": 0, "slots": 9} for n in range(40)}
    daemon.tell(pid, say={"event": "status", "functions": functions, "servers": {"s:4730": True}})
    wait_for(lambda: daemon.ask("status")["functions"], "the status to be told")
    variables = {"RUNTIME_DIRECTORY": str(daemon.runtime)}
    with at_terminal("top", "--every", "50ms", "-c", str(daemon.path), **variables) as terminal:
        terminal.read(b"more", times=2)
        terminal.send(number)
        assert terminal.wait() == (130 if number is signal.SIGINT else 128 + number)
        assert terminal.restored
    assert b"\x1b[?1049l" in terminal.seen, "the other screen is left"
    assert terminal.seen.rindex(b"\x1b[?25h") > terminal.seen.rindex(b"\x1b[?25l"), "the cursor is back"


def test_jobs_shows_the_job_that_blocks(daemons: Factory) -> None:
    daemon = daemons(plain_settings(stall_timeout_s=600.0)).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, page=[int(Activity.JOB), 0, "H:x:1", "u"])
    daemon.tell(pid, blocked=True)
    wait_for(lambda: daemon.ask("status")["workers"][0]["stalled_s"] > 0, "the stall to be seen")
    text = gearpool(daemon, "jobs", "-c", str(daemon.path)).stdout
    assert "H:x:1" in text
    assert "blocked for" in text


def test_a_refused_request_exits_1_with_the_reason(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    answer = gearpool(daemon, "pause", "nosuch", "-c", str(daemon.path))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "one of work" in answer.stderr


def test_commands_that_change_something_reach_the_workers(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    for words, heard in (
        (["pause", "work"], "pause"),
        (["resume", "work"], "resume"),
        (["pause"], "quiet"),
        (["resize", "work", "3"], "apply"),
        (["log-level", "warning"], "apply"),
    ):
        answer = gearpool(daemon, *words, "-c", str(daemon.path))
        assert answer.returncode == 0, answer.stderr
        daemon.until_received(pid, heard)


def test_recycle_and_reload_make_new_workers(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    for words in (["recycle"], ["reload"]):
        (before,) = daemon.until_workers(1)
        answer = gearpool(daemon, *words, "-c", str(daemon.path))
        assert answer.returncode == 0, answer.stderr
        daemon.until_workers(1, without=before)


@pytest.mark.parametrize(("word", "heard"), [("drain", "drain"), ("stop", "hasten")])
def test_drain_and_stop_wait_until_the_daemon_has_exited(daemons: Factory, word: str, heard: str) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    if word == "stop":
        (daemon.children / "linger").touch()
    answer = gearpool(daemon, word, "-c", str(daemon.path))
    assert (answer.returncode, answer.stdout) == (0, "it has left\n")
    assert daemon.until_received(pid, heard)
    assert daemon.wait() == (1 if word == "stop" else 0)


def test_drain_gives_up_waiting_with_75(daemons: Factory) -> None:
    daemon = daemons(plain_settings(drain_timeout_s=600.0)).start().until_ready()
    (daemon.children / "linger").touch()
    answer = gearpool(daemon, "drain", "-c", str(daemon.path), "--timeout", "200ms")
    assert answer.returncode == 75
    daemon.send(signal.SIGQUIT)
    (daemon.children / "linger").unlink()
    daemon.wait()


@pytest.mark.parametrize("word", CONTROL)
def test_every_command_has_help_with_examples(word: str) -> None:
    answer = gearpool(None, word, "--help")
    assert answer.returncode == 0
    assert f"gearpool {word}" in answer.stdout.partition("examples:")[2]


def test_the_daemons_help_lists_every_command() -> None:
    text = gearpool(None, "--help").stdout
    assert all(f"\n  {word} " in text for word in COMMANDS)


def test_a_daemon_without_a_file_is_a_usage_error() -> None:
    assert gearpool(None).returncode == 64


def test_overrides_are_passed_on_to_the_checker() -> None:
    import argparse

    given = argparse.Namespace(
        config=["base.yaml", "/conf.d"], processes="auto", concurrency=None, servers="a:1,b:2", log_level="debug"
    )
    assert overrides(given) == ["-c", "/conf.d", "--processes", "auto", "--servers", "a:1,b:2", "--log-level", "debug"]


def test_an_ambiguous_choice_lists_the_daemons_by_file(daemons: Factory) -> None:
    one, other = daemons().start().until_ready(), daemons().start().until_ready()
    both = tempfile.mkdtemp(prefix="gearpool-")
    for daemon in (one, other):
        (Path(both) / daemon.socket().name).symlink_to(daemon.socket())
    answer = subprocess.run(
        [sys.executable, "-m", "gearpool", "ping"], env={**one.environment, "RUNTIME_DIRECTORY": both}, cwd=ROOT,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert answer.returncode == 78
    assert f"-c {one.path} " in answer.stderr
    assert f"-c {other.path} " in answer.stderr


def test_resume_names_what_is_still_paused(daemons: Factory) -> None:
    functions = tuple(
        dataclasses.replace(plain_settings().functions[0], name=name) for name in ("work", "mail", "news")
    )
    daemon = daemons(plain_settings(functions=functions)).start().until_ready()

    def say(*words: str) -> str:
        answer = gearpool(daemon, *words, "-c", str(daemon.path))
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    for words in (["pause", "work"], ["pause", "mail"], ["pause"]):
        say(*words)
    assert say("resume", "work").splitlines() == [
        "resumed work",
        "the daemon as a whole is still paused: gearpool resume",
        "still paused: mail (gearpool resume FUNCTION)",
    ]
    assert say("resume").splitlines() == ["resumed grabbing", "still paused: mail (gearpool resume FUNCTION)"]
    assert say("resume", "mail") == "resumed mail\n"


def test_the_first_ctrl_c_mentions_the_second(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    daemon.send(signal.SIGINT)
    daemon.wait()
    assert "press Ctrl-C or send INT again to end them now" in daemon.events("daemon.draining")[0]["message"]
