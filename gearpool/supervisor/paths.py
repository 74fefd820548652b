"""Where a daemon's control socket is: one a configuration file, in the runtime directory. Floor 4; stdlib only.

The daemon and the commands that talk to it compute the same path from the same file, so nothing has to be configured.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from gearpool.errors import ConfigurationError

MOST = 107
"""Bytes of a socket's path (sun_path of unix(7) less its NUL)."""

SYSTEM = Path("/run/gearpool")
"""The runtime directory of root and of a service user: systemd's ``RuntimeDirectory=gearpool``, or made by tmpfiles."""


def own_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this process puts its socket.

    The directory that the service manager names; else the system's, for root or if it is this user's; else the
    user's own. XDG_RUNTIME_DIR counts only if it is this user's: ``su`` leaves that of the user before.
    """
    if environment.get("RUNTIME_DIRECTORY"):
        return Path(environment["RUNTIME_DIRECTORY"].split(":")[0])
    if os.geteuid() == 0 or _is_ours(SYSTEM):
        return SYSTEM
    users = environment.get("XDG_RUNTIME_DIR")
    if users and _is_ours(Path(users)):
        return Path(users) / "gearpool"
    return _in_tmp(os.geteuid())


def runtime_directories(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where commands look for sockets: first where this process would put its own."""
    found = [own_directory(environment), SYSTEM]
    if environment.get("XDG_RUNTIME_DIR"):
        found.append(Path(environment["XDG_RUNTIME_DIR"]) / "gearpool")
    if os.geteuid() != 0:
        found.append(_in_tmp(os.geteuid()))
    return list(dict.fromkeys(found))


def others_directories() -> list[Path]:
    """Runtime directories of other users, as far as they can be seen. Commands name them, but never trust them."""
    found: list[Path] = []
    for parent, pattern in ((Path("/tmp"), "gearpool-*"), (Path("/run/user"), "*/gearpool")):  # noqa: S108 - only looked at
        with contextlib.suppress(OSError):
            found += sorted(parent.glob(pattern))
    return [path for path in found if _owner(path) not in {None, os.geteuid()}]


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


def open_to_group(directory: Path, group_id: int) -> None:
    """Let members of a group list and enter a directory of ours; the sockets in it have modes of their own.

    Raises:
        OSError: its mode cannot be changed.
    """
    about = directory.stat()
    wanted = 0o050 if about.st_gid == group_id else 0o055
    if about.st_mode & wanted != wanted:
        directory.chmod(stat.S_IMODE(about.st_mode) | wanted)


def closed_to_group(path: Path, group_id: int) -> Path | None:
    """The nearest directory above ``path`` that a member of the group cannot enter; None if there is none."""
    for directory in path.parents:
        about = directory.stat()
        if not about.st_mode & (0o010 if about.st_gid == group_id else 0o001):
            return directory
    return None


def group_id(name: str) -> int:
    """The number of a group, which may be given as its name or as that number.

    Raises:
        ConfigurationError: there is no such group on this machine.
    """
    if name.isascii() and name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigurationError(f"there is no group {name} on this machine") from None


def working_directory(environment: Mapping[str, str] = os.environ) -> str:
    """The working directory with the links by which it was entered, as ``pwd -L`` has it.

    The kernel knows only the directory itself: after ``cd current`` it is the release that the link led to then.

    Raises:
        OSError: it has been removed.
    """
    logical = environment.get("PWD", "")
    if logical.startswith("/") and logical == os.path.normpath(logical):
        with contextlib.suppress(OSError):
            if Path(logical).samefile("."):
                return logical
    return os.getcwd()  # noqa: PTH109 - Path.cwd is the same


def absolute(path: str, environment: Mapping[str, str] = os.environ) -> str:
    """The path as it was given, made absolute; no link in it is followed, so that links lead where they lead *later*."""
    if not os.path.isabs(path):  # noqa: PTH117 - strings all along: what was given is kept
        path = os.path.join(working_directory(environment), path)  # noqa: PTH118
    return os.path.normpath(path)


def socket_name(configuration: str, environment: Mapping[str, str] = os.environ) -> str:
    """The file name for a configuration file: its stem for people, a digest of its path against collisions.

    Of the path as it was given: where its links lead changes with every deploy by an atomic link and with every change
    of a Kubernetes ConfigMap, and commands and health checks must still find the daemon.
    """
    given = absolute(configuration, environment)
    digest = hashlib.sha256(os.fsencode(given)).hexdigest()[:12]
    # ASCII only: what else is a letter depends on the locale, and its length in bytes, too.
    stem = "".join(character if character.isascii() and character.isalnum() else "-" for character in Path(given).stem)
    return f"{stem[:24]}-{digest}.sock"


def candidates(configuration: str, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where the socket of that file's daemon may be."""
    name = socket_name(configuration, environment)
    return [directory / name for directory in runtime_directories(environment)]


def all_sockets(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Every socket in the runtime directories, of daemons alive or dead."""
    found: list[Path] = []
    for directory in runtime_directories(environment):
        with contextlib.suppress(OSError):
            found += sorted(path for path in directory.iterdir() if path.suffix == ".sock")
    return found


def who_may(path: Path) -> str:
    """Whose a socket or directory is that we were refused, and what can be done about it; a clause for people."""
    target = Path(os.path.realpath(path))
    for each in (target, *target.parents):
        with contextlib.suppress(OSError):
            about = each.lstat()
            break
    else:
        return "permission denied"
    owner = _user_name(about.st_uid)
    remedy = f"try as that user: sudo -u {owner} gearpool ..."
    if stat.S_ISSOCK(about.st_mode) and about.st_mode & 0o060:
        remedy += f"; or as a member of the group {_group_name(about.st_gid)}"
    else:
        remedy += "; `control: {group: NAME}` in the configuration lets a group in"
    return f"permission denied: it belongs to {owner}; {remedy}"


def whose(directory: Path) -> str:
    """Of a runtime directory that is another user's; a clause for people."""
    owner = _user_name(_owner(directory) or 0)
    return f"belongs to {owner}; if the daemon is theirs, try as that user: sudo -u {owner} gearpool ..."


def _is_ours(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        about = directory.lstat()
        return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    return False


def _in_tmp(user_id: int) -> Path:
    return Path(f"/tmp/gearpool-{user_id}")  # noqa: S108 - made and checked by `private_directory`


def _owner(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.lstat().st_uid
    return None


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"  # as sudo wants it


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
