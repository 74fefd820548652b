from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.debian import is_made, make

PROJECT = Path(__file__).parents[2]
OWN = PROJECT / ".peers" / "debian"


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The minimal Debian that `make debian` creates; CI creates one per session."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if is_made(OWN):
        return OWN
    if not os.environ.get("CI"):
        pytest.skip("takes minutes; runs in CI, and here after `make debian`")
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    with (shared / "debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(shared / "debian")
    return shared / "debian"


@pytest.fixture(scope="session")
def wheels(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages for pip inside, downloaded on this machine: nothing inside has network access."""
    folder = tmp_path_factory.mktemp("wheels")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    needed = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    version = ["--python-version", "3.11", "--only-binary=:all:"]
    pip = [sys.executable, "-m", "pip", "download", "-q", *version, "-d", str(folder)]
    subprocess.run([*pip, "wheel", *needed], check=True)
    return folder
