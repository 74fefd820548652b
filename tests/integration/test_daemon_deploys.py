"""Deploys that switch a symlink (`current -> r1` becomes `-> r2`) and reload the daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool import Client
from tests.integration.daemons import COMMAND, Site, configuration
from tests.processes import Gearmand, wait_for
from tests.supervisor.daemons import ROOT

HANDLER = """
import os
from pathlib import Path

def record(arg):
    from late import RELEASE
    return f"{RELEASE} {Path('data').read_text()} {os.path.basename(os.getcwd())}".encode()
"""


class Deployed(Site):
    """A site with releases and the symlink ``current``, through which the daemon is started."""

    def __init__(self, folder: Path, server: str) -> None:
        super().__init__(folder, configuration(server))
        self.path.unlink()
        self.current = self.folder / "current"
        for number, name in enumerate(("r1", "r2")):
            release = self.folder / name
            release.mkdir()
            (release / "workers.yaml").write_text(
                f"servers: {server}\nlog: {{format: json}}\nfunctions: {{record: deployed_handlers.record}}\n"
            )
            (release / "deployed_handlers.py").write_text(HANDLER)
            # Of different sizes: Python takes a pyc for current if the source has the same size and modification second.
            (release / "late.py").write_text(f"RELEASE = {name!r}\n" + "\n" * number)
            (release / "data").write_text(f"data-of-{name}")
        self.lead_to("r1")
        self.path = self.current / "workers.yaml"

    def lead_to(self, release: str) -> None:
        """Replace the symlink atomically, as deploy tools do."""
        fresh = self.folder / "fresh"
        fresh.symlink_to(release)
        fresh.replace(self.current)

    def start_below(self, file: str) -> Deployed:
        environment = {**self.environment, "PWD": str(self.current), "PYTHONPATH": ROOT}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "-c", file], stderr=log, env=environment, cwd=self.current, process_group=0
            )
        return self

    def gearpool_below(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, "PWD": str(self.current), "PYTHONPATH": ROOT}
        return subprocess.run(
            [*COMMAND, *words],
            env=environment,
            cwd=self.current,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def deployed(tmp_path: Path, gearmand: Gearmand) -> Iterator[Deployed]:
    site = Deployed(tmp_path / "site", gearmand.address)
    yield site
    site.close()


@pytest.mark.parametrize("file", ["workers.yaml", "{current}/workers.yaml"])
def test_a_reload_after_the_symlink_changed_serves_the_new_release(
    file: str, deployed: Deployed, gearmand: Gearmand
) -> None:
    name = file.format(current=deployed.current)
    deployed.start_below(name).until_serving()
    with Client(gearmand.address) as client:
        assert client.submit_job("record", "", timeout=20) == b"r1 data-of-r1 r1"
        deployed.lead_to("r2")
        done = deployed.gearpool_below("reload", "-c", name)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"reloaded {deployed.path} ({os.path.realpath(deployed.path)})\n"
        shutil.rmtree(deployed.folder / "r1")
        wait_for(lambda: len(deployed.workers()) == 1, "the old worker to have gone")
        assert client.submit_job("record", "", timeout=20) == b"r2 data-of-r2 r2"


def test_late_imports_come_from_the_release_the_worker_started_with(deployed: Deployed, gearmand: Gearmand) -> None:
    deployed.start_below(str(deployed.path)).until_serving()
    deployed.lead_to("r2")
    with Client(gearmand.address) as client:
        assert client.submit_job("record", "", timeout=20).startswith(b"r1 ")


def test_a_broken_release_changes_nothing_and_keeps_the_working_directory(
    deployed: Deployed, gearmand: Gearmand
) -> None:
    deployed.start_below("workers.yaml").until_serving()
    (deployed.folder / "r2" / "deployed_handlers.py").write_text("import nowhere_at_all\n")
    deployed.lead_to("r2")
    assert deployed.gearpool_below("reload", "-c", "workers.yaml").returncode == 1
    assert deployed.process is not None
    assert Path(f"/proc/{deployed.process.pid}/cwd").resolve() == (deployed.folder / "r1").resolve()


def test_the_daemon_logs_its_configuration_file_at_startup(deployed: Deployed) -> None:
    deployed.start_below("workers.yaml").until_ready()
    (ready,) = deployed.events("daemon.ready")
    assert ready["config"] == str(deployed.path)
    assert ready["config_resolved"] == str((deployed.folder / "r1" / "workers.yaml").resolve())


def test_a_reload_follows_a_config_map_to_its_new_files(deployed: Deployed, gearmand: Gearmand) -> None:
    """In a ConfigMap volume the file is a symlink to ``..data/workers.yaml``, and only ``..data`` is replaced."""
    volume = deployed.folder / "volume"
    volume.mkdir()
    (volume / "..data").symlink_to(Path("..") / "r1")
    for name in ("workers.yaml", "deployed_handlers.py", "late.py"):
        (volume / name).symlink_to(Path("..data") / name)
    deployed.path = volume / "workers.yaml"
    deployed.start_below(str(deployed.path)).until_serving()
    with Client(gearmand.address) as client:
        assert client.submit_job("record", "", timeout=20).startswith(b"r1 ")
        (volume / "fresh").symlink_to(Path("..") / "r2")
        (volume / "fresh").replace(volume / "..data")
        done = deployed.gearpool_below("reload", "-c", str(deployed.path))
        assert done.returncode == 0, done.stderr
        wait_for(lambda: client.submit_job("record", "", timeout=20).startswith(b"r2 "), "the new release")
