from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from gearpool.settings import Settings
from tests.processes import need

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "gearpool.service"
MAX_EXPOSURE = 1.5
"""The highest exposure level accepted: systemd-analyze rates 0 (fully sandboxed) to 10 (unrestricted)."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with its program replaced, because gearpool need not be installed here."""
    text, count = re.subn(r"^(Exec\w+)=\S+", r"\1=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    assert count == 2
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    return copy


def test_systemd_accepts_the_unit_without_warnings(unit: Path) -> None:
    found = subprocess.run([need("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_unit_is_sandboxed(unit: Path) -> None:
    argv = [need("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    found = subprocess.run(argv, capture_output=True, text=True, check=True)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", found.stdout)
    assert level is not None, found.stdout
    assert float(level[1]) <= MAX_EXPOSURE


def test_the_stop_timeout_fits_the_default_drain() -> None:
    timeout = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert timeout is not None
    assert int(timeout[1]) > Settings(servers=(), functions=()).drain_timeout_s + 3


def test_usage_and_configuration_errors_do_not_restart() -> None:
    assert "RestartPreventExitStatus=64 78\n" in UNIT.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="the entries name owners, which only root may set")
@pytest.mark.parametrize(("program", "name"), [("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")])
def test_the_entries_for_users_and_folders_are_accepted(program: str, name: str, tmp_path: Path) -> None:
    for folder in ("etc", "run", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc" / "passwd").write_text("gearpool:x:990:990::/var/lib/gearpool:/usr/sbin/nologin\n")
    (tmp_path / "etc" / "group").write_text("gearpool:x:990:\n")
    options = ["--create"] if name == "tmpfiles" else []
    found = subprocess.run(
        [need(program), f"--root={tmp_path}", *options, str(UNIT.with_name(f"gearpool.{name}"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
