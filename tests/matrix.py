"""The suite on other versions of Python, each in a bare Debian that has it: ``python -m tests.matrix [VERSION ...]``.

The commit that is checked out is cloned into the root, as in CI. The roots are kept in ``.peers``; what a run changes
in them lives in memory and vanishes with it. Inside there is no network but loopback: this machine's pip fetches the
wheels. Foreign peers that the roots lack are skipped. Needs root.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from tests.deploy import debian

PROJECT = Path(__file__).parents[1]
SUITES = {"3.13": "trixie", "3.14": "forky"}
PACKAGES = ("gearman-job-server", "gearman-tools", "git", "iproute2", "make", "procps")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUN = """
set -e
mount -t tmpfs -o size=8g tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/merged"
mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/merged"
git clone -q "$PROJECT" "$PLACE/merged/srv/gearpool"
cd "$PLACE/merged"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs tmp
mkdir wheels
mount --bind "$WHEELS" wheels
ip link set lo up
pivot_root . mnt
umount -l /mnt
exec /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH="$PATH_INSIDE" /bin/sh -c '
    set -e
    cd /srv/gearpool
    "$1" -m venv .venv
    .venv/bin/pip install -q --no-index --find-links /wheels --editable ".[dev]"
    shift
    .venv/bin/python -VV
    .venv/bin/python -m pytest "$@"
' sh "$@"
"""


def fetch_wheels(version: str, folder: Path) -> None:
    """Download what the project, its tests and its build need there."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    needed = [*project["build-system"]["requires"], *project["project"]["dependencies"], "editables"]
    needed += project["project"]["optional-dependencies"]["dev"]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", str(folder)]
    subprocess.run([*pip, "--python-version", version, "--only-binary=:all:", *needed], check=True)


def run(version: str, options: list[str]) -> int:
    """Run the suite on that version; return pytest's exit code."""
    root = PROJECT / ".peers" / f"debian-python{version}"
    python = f"python{version}"
    debian.make(root, SUITES[version], (python, f"{python}-venv", *PACKAGES))
    with tempfile.TemporaryDirectory() as wheels, tempfile.TemporaryDirectory() as place:
        fetch_wheels(version, Path(wheels))
        names = {"PROJECT": str(PROJECT), "ROOT": str(root), "WHEELS": wheels, "PLACE": place, "PATH_INSIDE": PATH}
        spaces = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
        argv = [*spaces, "/bin/sh", "-c", RUN, "sh", python, *options]
        return subprocess.run(argv, env={**os.environ, **names}, check=False).returncode


def main() -> int:
    """Run every version; print one line for each."""
    versions = [argument for argument in sys.argv[1:] if argument in SUITES] or list(SUITES)
    options = [argument for argument in sys.argv[1:] if argument not in SUITES]
    codes = {version: run(version, options) for version in versions}
    for version, code in codes.items():
        print(f"Python {version} ({SUITES[version]}): {'passed' if code == 0 else f'failed, exit code {code}'}")
    return max(codes.values())


if __name__ == "__main__":
    sys.exit(main())
