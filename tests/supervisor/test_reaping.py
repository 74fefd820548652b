from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gearpool.settings import to_json
from tests.processes import wait_for
from tests.supervisor.daemons import MAIN, PRINT, ROOT, plain_settings

SCRIPT = """
import json, os, subprocess, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
# A grandchild whose parent leaves at once becomes an orphan of PID 1, and ends.
for _ in range(5):
    subprocess.run(["sh", "-c", "sleep 0.1 & exit 0"], check=True)
(folder / "orphaned").touch()
"""


def can_unshare() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    probe = [unshare, "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs the right to make a PID namespace")
def test_as_pid_1_it_reaps_orphans_and_obeys_term(tmp_path: Path) -> None:
    children = tmp_path / "children"
    children.mkdir()
    path = tmp_path / "workers.yaml"
    path.write_text(json.dumps({"settings": to_json(plain_settings())}))
    child = [sys.executable, "-m", "tests.supervisor.scripted_child", str(children)]
    arguments = json.dumps([[sys.executable, "-c", PRINT], child, child, str(path), 30.0])
    environment = {**os.environ, "PYTHONPATH": ROOT, "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        daemon = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", MAIN, arguments],
            stderr=stderr,
            env=environment,
        )
    try:
        wait_for(lambda: b"daemon.ready" in log.read_bytes(), "the daemon")
        inside = int(Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()[0])
        enter = ["nsenter", "--target", str(inside), "--pid", "--mount"]
        subprocess.run([*enter, sys.executable, "-c", SCRIPT, str(tmp_path)], check=True)

        def zombies() -> list[str]:
            listed = subprocess.run([*enter, "ps", "-eo", "stat="], capture_output=True, text=True, check=True)
            return [line for line in listed.stdout.split() if line.startswith("Z")]

        def orphans() -> bool:
            listed = subprocess.run([*enter, "ps", "-eo", "comm="], capture_output=True, text=True, check=True)
            return "sleep" in listed.stdout.split()

        wait_for(lambda: not orphans() and not zombies(), "no orphan and no zombie to be left")
        os.kill(inside, 15)
        assert daemon.wait(20) == 0
    finally:
        daemon.kill()
        daemon.wait()
