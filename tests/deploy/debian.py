"""Create a minimal Debian with systemd and Python, using debootstrap: ``python -m tests.deploy.debian FOLDER``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.processes import need

PACKAGES = ("systemd", "systemd-sysv", "dbus", "sudo", "python3", "python3-venv", "passwd")
NOT_NEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")
MARK = "made-for-gearpool"


def is_made(folder: Path) -> bool:
    """Return whether the folder holds a complete root."""
    return (folder / MARK).exists()


def make(folder: Path, suite: str = "bookworm", packages: Sequence[str] = PACKAGES) -> None:
    """Create the root unless it exists; this takes a minute."""
    if not is_made(folder):
        include = f"--include={','.join(packages)}"
        # debootstrap's script for sid serves every current suite, also those newer than debootstrap.
        source = [suite, str(folder), "http://deb.debian.org/debian", "sid"]
        subprocess.run([need("debootstrap"), "--variant=minbase", include, *source], check=True)
        for name in NOT_NEEDED:
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / MARK).touch()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
