"""A bare Debian with systemd and Python, made by debootstrap: ``python -m tests.deploy.debian FOLDER``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.processes import need

PACKAGES = ("systemd", "systemd-sysv", "dbus", "sudo", "python3", "python3-venv", "passwd")
NOT_NEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")
MARK = "made-for-gearpool"


def is_made(folder: Path) -> bool:
    """Whether it is there and whole."""
    return (folder / MARK).exists()


def make(folder: Path) -> None:
    """Make it unless it is there; takes a minute."""
    if not is_made(folder):
        include = f"--include={','.join(PACKAGES)}"
        subprocess.run([need("debootstrap"), "--variant=minbase", include, "bookworm", str(folder)], check=True)
        for name in NOT_NEEDED:
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / MARK).touch()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
