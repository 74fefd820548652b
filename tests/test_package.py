"""The distribution, tested by a user who has only the installed package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import gearpool
from tests.processes import OwnServer, free_port, missing, wait_for

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this tree, and the wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def new_environment(folder: Path, *requirements: str) -> Path:
    """The `bin` folder of a new virtual environment in which only ``requirements`` are installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    pip += requirements
    if subprocess.run(pip, check=False, capture_output=True).returncode:
        missing("a package registry")
    return folder / "bin"


def outside(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program where this source tree cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_sdist_contains_every_tracked_file(dist: Path) -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: nothing to compare with")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = {name for name in listed.splitlines() if (ROOT / name).exists()}
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked - held == set()


def test_the_sdist_contains_the_documents_that_readme_links(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    documents = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "config/README.md", "deploy/README.md"}
    assert documents | {"deploy/MIGRATING-CLIENTS.md", "tests/applications/fastapi_app.py"} <= held


def test_distributions_pass_the_checks_of_the_package_index(dist: Path, wheel: Path) -> None:
    paths = [str(path) for path in dist.iterdir()]
    for command in (["twine", "check", "--strict", *paths], ["check_wheel_contents", str(wheel)]):
        done = subprocess.run([sys.executable, "-m", *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_metadata_has_version_licence_and_typing_classifier(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
        assert "gearpool/py.typed" in archive.namelist()
        assert not [name for name in archive.namelist() if name.startswith("tests/")]
    assert metadata["Version"] == gearpool.__version__
    assert metadata["License-Expression"] == "MIT"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


CONFIGURATION = """
servers: embedded
embedded: {{listen: "127.0.0.1:{port}"}}
functions: {{reverse: gearpool.examples.reverse}}
"""


def test_the_installed_wheel_serves_and_submits(wheel: Path, tmp_path: Path) -> None:
    programs = new_environment(tmp_path / "env", str(wheel))
    port = free_port()
    (tmp_path / "workers.yaml").write_text(CONFIGURATION.format(port=port))
    daemon = subprocess.Popen(
        [programs / "gearpool", "-c", "workers.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        ask: list[str | Path] = [programs / "gearpool", "ping", "-c", "workers.yaml"]
        wait_for(lambda: outside(*ask, folder=tmp_path).returncode == 0, "the daemon", 60)
        done = outside(
            programs / "gearpool", "submit", "reverse", "hello", "--servers", f"127.0.0.1:{port}", folder=tmp_path
        )
        assert (done.stdout.strip(), done.returncode) == ("olleh", 0)
    finally:
        daemon.terminate()
        _, errors = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, errors


CLIENT = """
import sys
from gearpool import Client, JobFailed, NoServersAvailable
with Client(sys.argv[1]) as client:
    handle = client.submit_background_job("nobody", "x")
    assert client.get_job_status(handle).is_known
    assert client.admin.status()
print(sorted({name.partition(".")[0] for name in sys.modules} & {"gevent", "yaml", "rich"}))
"""


def test_the_client_alone_needs_no_other_package(wheel: Path, tmp_path: Path) -> None:
    programs = new_environment(tmp_path / "env", "--no-deps", str(wheel))
    server = OwnServer("--drain", "0s")
    try:
        done = outside(programs / "python", "-c", CLIENT, server.address, folder=tmp_path)
        assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
    finally:
        server.stop()
