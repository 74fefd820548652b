"""Where a daemon's control socket is: one a configuration file, in the runtime directory. Floor 4; stdlib only.

The daemon and the commands that talk to it compute the same path from the same file, so nothing has to be configured.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gearpool.errors import ConfigurationError

MOST = 107
"""Bytes of a socket's path (sun_path of unix(7) less its NUL)."""


def runtime_directories(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where sockets may be, the first being where this process would put its own."""
    found = []
    if environment.get("RUNTIME_DIRECTORY"):
        found.append(Path(environment["RUNTIME_DIRECTORY"].split(":")[0]))
    if environment.get("XDG_RUNTIME_DIR"):
        found.append(Path(environment["XDG_RUNTIME_DIR"]) / "gearpool")
    # A daemon under systemd has its socket in /run/gearpool even if it does not run as root.
    if os.geteuid() == 0 or not found:
        found.append(Path("/run/gearpool"))
    if os.geteuid() != 0:
        found.append(Path(f"/tmp/gearpool-{os.geteuid()}"))  # noqa: S108 - made and checked by `private_directory`
    return found


def own_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this process puts its socket."""
    for path in runtime_directories(environment):
        if path != Path("/run/gearpool") or os.geteuid() == 0:
            return path
    raise AssertionError("there is always one")  # pragma: no cover


def private_directory(path: Path) -> None:
    """Make sure that it exists and that nobody but us can have put anything into it.

    Raises:
        ConfigurationError: it is somebody else's, or others may write to it.
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
        raise ConfigurationError(f"{path}: must be a directory of our own that others cannot write to")


def socket_name(configuration: str) -> str:
    """The file name for a configuration file: its stem for people, a digest of its path against collisions.

    Links in the folder's path are followed, a link that is the file itself is not: in a Kubernetes ConfigMap that one
    leads elsewhere after every change, and a health check must still find the daemon.
    """
    given = Path(configuration)
    real = given.parent.resolve() / given.name
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    stem = "".join(character if character.isalnum() else "-" for character in given.stem)[:24]
    return f"{stem}-{digest}.sock"


def candidates(configuration: str, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where the socket of that file's daemon may be."""
    name = socket_name(configuration)
    return [directory / name for directory in runtime_directories(environment)]


def all_sockets(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Every socket in the runtime directories, of daemons alive or dead."""
    found: list[Path] = []
    for directory in runtime_directories(environment):
        with contextlib.suppress(OSError):
            found += sorted(path for path in directory.iterdir() if path.suffix == ".sock")
    return found
