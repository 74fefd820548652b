"""The shipped unit under a real systemd, installed by the commands of deploy/README.md."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import PROJECT
from tests.deploy.documents import commands
from tests.deploy.machine import Machine
from tests.processes import wait_for

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to boot a machine in namespaces"),
]

FILE = "/etc/gearpool/workers.yaml"
INSTALL, ASK, LET_IN = commands("systemd")
DEAD = "/var/lib/gearpool/dead.jsonl"


@pytest.fixture(scope="module")
def machine(debian: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with gearpool installed as documented, and with two user accounts."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    for name in ("gearpool", "config", "deploy"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    machine = Machine(debian, source, wheels)
    try:
        for name in ("alice", "stranger"):
            machine.must("useradd", "--create-home", name)
        by_wheels = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "HOME": "/root"}
        machine.must("sh", "-exc", f"cd /src\n{INSTALL}", environment=by_wheels)
        yield machine
    finally:
        machine.close()


def status(machine: Machine) -> Any:
    return json.loads(machine.must("gearpool", "status", "--json"))


def until_serving(machine: Machine) -> None:
    def serving() -> bool:
        done = machine.run("gearpool", "status", "--json")
        servers = json.loads(done.stdout)["servers"] if done.returncode == 0 else {}
        return bool(servers) and all(servers.values())

    wait_for(serving, "the workers to be connected", 60.0)


def test_the_documented_commands_start_the_service(machine: Machine) -> None:
    assert machine.show("gearpool", "ActiveState") == "active"
    assert machine.show("gearpool", "StatusText").startswith("running: 1 workers")
    until_serving(machine)
    assert machine.must("gearpool", "submit", "reverse", "hello", user="stranger").strip() == "olleh"


def test_the_documented_commands_find_the_daemon(machine: Machine) -> None:
    machine.must("sh", "-exc", ASK)
    assert machine.must("gearpool", "ping", "-c", FILE)


@pytest.mark.parametrize("which", [(), ("-c", FILE)])
def test_another_user_is_told_who_owns_the_daemon(which: tuple[str, ...], machine: Machine) -> None:
    refused = machine.run("gearpool", "status", *which, user="stranger")
    assert refused.returncode == 69
    assert "permission denied" in refused.stderr
    assert "sudo -u gearpool gearpool" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.fixture(scope="module")
def operators(machine: Machine) -> Machine:
    """The same machine with alice made an operator as documented."""
    machine.must("sh", "-exc", LET_IN)
    until_serving(machine)
    return machine


def test_a_member_of_the_group_is_an_operator(operators: Machine) -> None:
    assert "running" in operators.must("gearpool", "status", user="alice")
    assert operators.must("gearpool", "reload", "-c", FILE, user="alice") == f"reloaded {FILE}\n"
    assert operators.run("gearpool", "status", user="stranger").returncode == 69


def test_a_reload_by_systemd_counts_once_and_keeps_the_operators_access(operators: Machine) -> None:
    before = status(operators)
    operators.must("systemctl", "reload", "gearpool")
    assert status(operators)["reloads"]["ok"] == before["reloads"]["ok"] + 1
    assert status(operators)["pid"] == before["pid"]
    assert operators.run("gearpool", "ping", user="alice").returncode == 0


def test_a_reload_by_systemd_of_a_bad_file_fails_and_changes_nothing(operators: Machine) -> None:
    before = status(operators)
    operators.must("sh", "-ec", f"cp {FILE} /root/good.yaml; echo nonsense: 1 >>{FILE}")
    assert operators.run("systemctl", "reload", "gearpool").returncode == 1
    operators.must("cp", "/root/good.yaml", FILE)
    assert status(operators)["workers"][0]["pid"] == before["workers"][0]["pid"]
    assert operators.show("gearpool", "ActiveState") == "active"


def test_check_warns_of_a_folder_that_the_units_user_cannot_write_to(operators: Machine) -> None:
    operators.must(
        "sh", "-ec", f"sed 's|^  timeout: .*|&\\n  dead_letter: {{file: dead.jsonl}}|' {FILE} >/etc/gearpool/bad.yaml"
    )
    # Not of `fail`, for which another test may have configured another folder.
    errors = operators.run("sudo", "-u", "gearpool", "gearpool", "check", "-c", "/etc/gearpool/bad.yaml").stderr
    assert "functions.reverse.dead_letter: this user may not write to the folder /etc/gearpool" in errors


def test_a_dead_letter_is_written_to_a_folder_that_the_unit_can_write_to(operators: Machine) -> None:
    operators.must(
        "sed", "-i", f"s|on_error: retry .*|on_error: retry\\n    dead_letter: {{file: {DEAD}}}|;"
        "s|delay: 200ms|delay: 10ms, then: dead_letter|", FILE,
    )  # fmt: skip
    operators.must("gearpool", "reload", "-c", FILE, user="alice")
    assert operators.run("gearpool", "submit", "fail", "x").returncode == 1
    listed = operators.must("sudo", "-u", "gearpool", "gearpool", "dead", "list", DEAD)
    assert "fail" in listed


@pytest.fixture
def with_http(operators: Machine) -> Iterator[Machine]:
    """The same machine with HTTP, and its token in the file that the unit reads."""
    operators.must("sh", "-ec", "umask 077; echo GEARPOOL_TOKEN=t0ken >/etc/default/gearpool")
    operators.must("sh", "-ec", f"cp {FILE} /root/plain.yaml; echo 'http: {{token: \"${{GEARPOOL_TOKEN}}\"}}' >>{FILE}")
    operators.must("systemctl", "restart", "gearpool")
    ask = "from urllib.request import urlopen; urlopen('http://127.0.0.1:8730/readyz', timeout=20)"
    wait_for(lambda: operators.run("python3", "-c", ask).returncode == 0, "readiness over HTTP", 60.0)
    yield operators
    operators.must("sh", "-ec", f"cp /root/plain.yaml {FILE}; rm /etc/default/gearpool; systemctl restart gearpool")
    until_serving(operators)


def test_http_takes_its_token_from_the_file_that_the_unit_reads(with_http: Machine) -> None:
    program = """
from urllib.request import Request, urlopen
headers = {"Authorization": "Bearer t0ken", "Content-Type": "application/json"}
urlopen(Request("http://127.0.0.1:8730/api/pause", b'{"function": "reverse"}', headers), timeout=20)
"""
    with_http.must("python3", "-c", program)
    assert status(with_http)["paused"] == ["reverse"]
    (check,) = re.findall(r"`(\(set -a; [^`]*)`", (PROJECT / "deploy" / "README.md").read_text())
    with_http.must("sh", "-exc", check)


def test_a_running_job_completes_when_the_service_is_stopped(operators: Machine) -> None:
    until_serving(operators)
    job = operators.start("gearpool", "submit", "sleep", "3")
    wait_for(lambda: status(operators)["in_progress"] == 1, "the job to run", 30.0)
    operators.must("systemctl", "stop", "gearpool")
    output, errors = job.communicate(timeout=60)
    assert (job.returncode, output.strip()) == (0, "3"), errors
    assert operators.show("gearpool", "Result") == "success"
    operators.must("systemctl", "start", "gearpool")
    until_serving(operators)


def test_a_suspended_supervisor_is_restarted_by_the_watchdog(operators: Machine) -> None:
    folder = "/etc/systemd/system/gearpool.service.d"
    operators.must("sh", "-ec", f"mkdir {folder}; printf '[Service]\\nWatchdogSec=2\\n' >{folder}/quick.conf")
    operators.must("systemctl", "daemon-reload")
    operators.must("systemctl", "restart", "gearpool")
    until_serving(operators)
    before = status(operators)["pid"]
    operators.must("sh", "-c", f"kill -STOP {before}")
    wait_for(lambda: operators.show("gearpool", "NRestarts") != "0", "a restart", 60.0)
    until_serving(operators)
    assert status(operators)["pid"] != before


def test_the_journal_has_one_event_per_line(operators: Machine) -> None:
    lines = operators.must("journalctl", "--no-pager", "--output=cat", "_SYSTEMD_UNIT=gearpool.service").splitlines()
    assert "daemon.ready" in {json.loads(line)["event"] for line in lines if line.startswith("{")}
    assert not [line for line in lines if "Traceback" in line and not line.startswith("{")]
