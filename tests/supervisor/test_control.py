from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import stat
from collections.abc import Iterator

import pytest

from gearpool.errors import ConfigurationError, NoServersAvailable
from gearpool.settings import ControlSettings
from gearpool.supervisor import calls, paths
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import plain_settings


def test_the_socket_is_only_ours(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    assert stat.S_IMODE(daemon.socket().stat().st_mode) == 0o600


def test_a_daemon_is_found_by_its_configuration_file(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    assert calls.find(None, str(daemon.path), daemon.environment) == daemon.socket()


def test_a_daemon_with_a_socket_of_its_own_is_found_by_its_file_too(daemons: Factory) -> None:
    daemon = daemons()
    place = daemon.folder / "own.sock"
    daemon.configure(plain_settings(control=ControlSettings(socket=str(place))))
    daemon.start().until_ready()
    found = calls.find(None, str(daemon.path), daemon.environment)
    assert found != place
    assert calls.call(found, "ping")["pid"] == calls.call(place, "ping")["pid"]


def test_a_file_that_is_no_socket_is_never_removed_for_one(daemons: Factory) -> None:
    daemon = daemons()
    place = daemon.folder / "precious"
    place.write_text("data")
    daemon.configure(plain_settings(control=ControlSettings(socket=str(place))))
    assert daemon.start().wait() == 73
    assert place.read_text() == "data"


def test_the_only_one_running_is_found_without_a_word(daemons: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "SYSTEM", daemons().runtime)  # nobody else's daemons on this machine
    daemon = daemons().start().until_ready()
    environment = {"RUNTIME_DIRECTORY": str(daemon.runtime)}
    assert calls.find(None, None, environment) == daemon.socket()


def test_several_running_must_be_told_apart(daemons: Factory) -> None:
    first = daemons().start().until_ready()
    second = daemons(RUNTIME_DIRECTORY=str(first.runtime)).start().until_ready()
    assert second.path != first.path
    with pytest.raises(ConfigurationError, match="several"):
        calls.find(None, None, {"RUNTIME_DIRECTORY": str(first.runtime)})


def test_asking_a_daemon_that_does_not_run_says_so(daemons: Factory) -> None:
    with pytest.raises(NoServersAvailable):
        calls.call(daemons().socket(), "ping")


def test_an_unknown_request_is_refused_and_lists_the_known(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with pytest.raises(calls.RefusedError, match="ping"):
        daemon.ask("dance")


def test_garbage_on_the_socket_harms_nobody(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(daemon.socket()))
        stream.sendall(b"\0\xff\n[1]\nnull\n" + json.dumps({"do": ["ping"]}).encode() + b"\n")
        assert b'"ok":false' in stream.recv(4096)
    assert daemon.ask("ping")["state"] == "running"


def test_pause_and_resume_reach_the_workers_and_those_to_come(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    answer = daemon.ask("pause", function="work")
    assert answer == {"function": "work", "paused": True, "quiet": False, "paused_functions": ["work"]}
    daemon.hears(pid, "pause")
    daemon.ask("recycle")
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.hears(new, "pause")["function"] == "work"
    daemon.ask("resume", function="work")
    daemon.hears(new, "resume")


def test_an_unknown_function_cannot_be_paused(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with pytest.raises(calls.RefusedError, match="one of work"):
        daemon.ask("pause", function="wrok")


def test_resize_reaches_the_workers_and_those_to_come(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.ask("resize", function="work", concurrency=7)
    assert daemon.hears(pid, "apply")["settings"]["functions"][0]["concurrency"] == 7
    daemon.ask("recycle")
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.hears(new, "start")["settings"]["functions"][0]["concurrency"] == 7


def test_resize_to_nonsense_is_refused(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    for wrong in (0, -1, "3", None, True, 1.5, 1_000_001, 10**4000):
        with pytest.raises(calls.RefusedError, match="whole number"):
            daemon.ask("resize", function="work", concurrency=wrong)


def test_jobs_are_collected_from_every_worker(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    pids = daemon.workers()
    assert daemon.ask("jobs") == [{"worker": pid, "result": [{"asked": "jobs"}]} for pid in sorted(pids)]


def test_kill_of_a_job_nobody_runs_is_refused(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with pytest.raises(calls.RefusedError, match="H:x:5"):
        daemon.ask("kill", handle="H:x:5")


def test_kill_of_a_job_that_may_be_in_a_worker_blocked_by_another_says_so(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, blocked=True)
    daemon.tell(pid, page=[1, 0, "H:x:1", "u"])
    wait_for(lambda: daemon.ask("status")["workers"][0]["stalled_s"], "it to be blocked")
    with pytest.raises(calls.RefusedError, match=f"if it is one of worker {pid}, which another job blocks"):
        daemon.ask("kill", handle="H:x:5")
    daemon.tell(pid, blocked=False)
    assert daemon.hears(pid, "kill")["handle"] == "H:x:5"


def test_log_level_reaches_the_workers(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.ask("log-level", level="debug")
    assert daemon.hears(pid, "apply")["settings"]["log"]["level"] == "debug"


def test_recycle_replaces_the_workers_one_after_the_other(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=3)).start().until_ready()
    before = daemon.workers()
    assert sorted(daemon.ask("recycle")["workers"]) == sorted(before)
    fewest = 3

    def replaced() -> bool:
        nonlocal fewest
        states = daemon.ask("status")["workers"]
        fewest = min(fewest, sum(worker["state"] in {"ready", "retiring"} for worker in states))
        return len(states) == 3 and not {worker["pid"] for worker in states} & set(before)

    wait_for(replaced, "three new workers")
    assert fewest == 3


def test_drain_by_request_is_like_term(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    path = daemon.socket()
    assert daemon.ask("drain")["state"] == "draining"
    assert calls.wait_until_gone(path, 10.0)
    assert daemon.wait() == 0
    assert not path.exists()


def test_counters_do_not_fall_when_a_worker_is_replaced(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    counted = {"work": {"outcomes": {"complete": 5}, "slots": 3}}
    daemon.tell(pid, say={"event": "status", "functions": counted, "in_progress": 2})
    wait_for(lambda: daemon.ask("status")["in_progress"] == 2, "the status")
    daemon.tell(pid, exit=1)
    (new,) = daemon.until_workers(1, without=pid)
    assert daemon.ask("status")["functions"] == {"work": {"outcomes": {"complete": 5}}}
    daemon.tell(new, say={"event": "status", "functions": counted, "in_progress": 1})
    wait_for(lambda: daemon.ask("status")["in_progress"] == 1, "the new one's status")
    assert daemon.ask("status")["functions"]["work"] == {"outcomes": {"complete": 10}, "slots": 3}


def test_a_daemon_answers_while_it_starts(daemons: Factory) -> None:
    daemon = daemons()
    (daemon.children / "hold").touch()
    daemon.start()
    wait_for(daemon.socket().exists, "the socket")
    assert daemon.ask("status")["state"] == "starting"
    with pytest.raises(calls.RefusedError, match="starting"):
        daemon.ask("reload")
    (daemon.children / "hold").unlink()
    daemon.until_ready()


def test_settings_survive_the_trip(daemons: Factory) -> None:
    settings = plain_settings(processes=2)
    daemon = daemons(settings).start().until_ready()
    sent = daemon.hears(daemon.workers()[0], "start")["settings"]
    assert sent["functions"][0] == json.loads(json.dumps(dataclasses.asdict(settings.functions[0])))


def test_a_daemon_is_found_by_another_name_of_its_file(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (daemon.folder / "link").symlink_to(daemon.folder)
    assert calls.find(None, str(daemon.folder / "link" / "workers.yaml"), daemon.environment) == daemon.socket()


def test_a_daemon_of_another_file_is_named_when_none_runs_the_file_that_is_meant(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    other = daemon.folder / "other.yaml"
    other.touch()
    with pytest.raises(calls.NoDaemonError, match=f"runs {daemon.path}"):
        calls.find(None, str(other), daemon.environment)


def test_with_a_group_the_socket_is_the_groups_too(daemons: Factory) -> None:
    group = str(os.getegid())
    daemon = daemons(plain_settings(control=ControlSettings(group=group))).start().until_ready()
    about = daemon.socket().stat()
    assert (stat.S_IMODE(about.st_mode), about.st_gid) == (0o660, os.getegid())
    assert stat.S_IMODE(daemon.runtime.stat().st_mode) == 0o750
    assert not daemon.events("control.unreachable")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give the socket to another group")
def test_a_socket_in_a_folder_that_is_closed_to_its_group_is_warned_of(daemons: Factory) -> None:
    daemon = daemons()
    place = daemon.folder / "closed" / "own.sock"
    place.parent.mkdir(mode=0o700)
    daemon.configure(plain_settings(control=ControlSettings(socket=str(place), group="4711")))
    daemon.start().until_ready()
    (warning,) = daemon.events("control.unreachable")
    assert str(place.parent) in warning["message"]


def test_a_group_that_does_not_exist_stops_the_start(daemons: Factory) -> None:
    daemon = daemons(plain_settings(control=ControlSettings(group="nobody-is-in-it")))
    assert daemon.start().wait() == 73
    assert "no group nobody-is-in-it" in daemon.events("daemon.start_failed")[0]["message"]


@contextlib.contextmanager
def as_user(number: int, *groups: int) -> Iterator[None]:
    """With another user's rights, as far as files are concerned."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


STRANGER = 54321


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
@pytest.mark.parametrize("named", [True, False])
def test_another_user_is_told_whose_the_daemon_is_and_how_to_reach_it(
    named: bool, daemons: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = daemons().start().until_ready()
    monkeypatch.setattr(paths, "SYSTEM", daemon.runtime)
    with as_user(STRANGER), pytest.raises(calls.NoDaemonError) as refused:
        calls.find(None, str(daemon.path) if named else None, {})
    text = str(refused.value)
    assert text.startswith(str(daemon.runtime))
    assert "permission denied: it belongs to root; try as that user: sudo -u root" in text
    assert "control: {group: NAME}" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_member_of_the_group_is_let_in_and_a_stranger_is_told_of_it(
    daemons: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = daemons(plain_settings(control=ControlSettings(group="4711"))).start().until_ready()
    monkeypatch.setattr(paths, "SYSTEM", daemon.runtime)
    with as_user(STRANGER, 4711):
        assert calls.call(calls.find(None, None, {}), "ping")["state"] == "running"
    with as_user(STRANGER), pytest.raises(calls.NoDaemonError, match="as a member of the group 4711"):
        calls.find(None, None, {})
