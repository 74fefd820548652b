"""Finds the path of a daemon's control socket from its configuration file. Floor 4; stdlib only.

The daemon and the commands that talk to it compute the same path, so nothing has to be configured.
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

MAX_PATH = 107
"""Maximum length of a socket's path in bytes: sun_path of unix(7) without its NUL."""

SYSTEM = Path("/run/gearpool")
"""The runtime directory of root and of a service user, created by systemd's ``RuntimeDirectory=`` or by tmpfiles."""


def own_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory in which this process creates its socket.

    The one that the service manager names; else the system's, for root or if this user owns it; else the user's own.
    XDG_RUNTIME_DIR counts only if this user owns it, because ``su`` keeps the previous user's value.
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
    """The directories in which commands look for sockets; `own_directory` comes first."""
    found = [own_directory(environment), SYSTEM]
    if environment.get("XDG_RUNTIME_DIR"):
        found.append(Path(environment["XDG_RUNTIME_DIR"]) / "gearpool")
    if os.geteuid() != 0:
        found.append(_in_tmp(os.geteuid()))
    return list(dict.fromkeys(found))


def others_directories() -> list[Path]:
    """Runtime directories of other users, as far as visible. Commands mention them, but never trust them."""
    found: list[Path] = []
    for parent, pattern in ((Path("/tmp"), "gearpool-*"), (Path("/run/user"), "*/gearpool")):  # noqa: S108 - only read
        with contextlib.suppress(OSError):
            found += sorted(parent.glob(pattern))
    return [path for path in found if _owner(path) not in {None, os.geteuid()}]


def private_directory(path: Path) -> None:
    """Create the directory if needed, and make sure that no other user can have put anything into it.

    Raises:
        ConfigurationError: another user owns it, or others may write to it.
        OSError: it cannot be created.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
        raise ConfigurationError(f"{path} must be a directory that this user owns and that others cannot write to")


def open_to_group(directory: Path, group_id: int) -> None:
    """Let members of a group list and enter a directory; the sockets in it have their own modes.

    Raises:
        OSError: its mode cannot be changed.
    """
    about = directory.stat()
    wanted = 0o050 if about.st_gid == group_id else 0o055
    if about.st_mode & wanted != wanted:
        directory.chmod(stat.S_IMODE(about.st_mode) | wanted)


def closed_to_group(path: Path, group_id: int) -> Path | None:
    """The nearest directory above ``path`` that members of the group cannot enter; None if there is none."""
    for directory in path.parents:
        about = directory.stat()
        if not about.st_mode & (0o010 if about.st_gid == group_id else 0o001):
            return directory
    return None


def group_id(name: str) -> int:
    """The numeric id of a group, given as its name or as that id.

    Raises:
        ConfigurationError: there is no such group on this machine.
    """
    if name.isascii() and name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigurationError(f"this machine has no group {name}") from None


def working_directory(environment: Mapping[str, str] = os.environ) -> str:
    """The working directory with the symlinks by which it was entered, as printed by ``pwd -L``.

    The kernel only knows the resolved directory: after ``cd current``, the release that the symlink pointed to then.

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
    """Make a path absolute without resolving symlinks, so that later changes of a symlink take effect."""
    if not os.path.isabs(path):  # noqa: PTH117 - strings keep the path as it was given
        path = os.path.join(working_directory(environment), path)  # noqa: PTH118
    return os.path.normpath(path)


def socket_name(configuration: str, environment: Mapping[str, str] = os.environ) -> str:
    """The socket's file name for a configuration file: its stem for people, a digest of its path for uniqueness.

    The path is not resolved: a deployment that swaps a symlink, or a change of a Kubernetes ConfigMap, changes where it
    leads, and commands and health checks must still find the daemon.
    """
    given = absolute(configuration, environment)
    digest = hashlib.sha256(os.fsencode(given)).hexdigest()[:12]
    # ASCII only, because other characters have a different length in bytes in different locales.
    stem = "".join(character if character.isascii() and character.isalnum() else "-" for character in Path(given).stem)
    return f"{stem[:24]}-{digest}.sock"


def candidates(configuration: str, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The paths at which the daemon of this configuration file may have its socket."""
    name = socket_name(configuration, environment)
    return [directory / name for directory in runtime_directories(environment)]


def all_sockets(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Every socket in the runtime directories, of live and dead daemons."""
    found: list[Path] = []
    for directory in runtime_directories(environment):
        with contextlib.suppress(OSError):
            found += sorted(path for path in directory.iterdir() if path.suffix == ".sock")
    return found


def who_may(path: Path) -> str:
    """Explain a denied access: who owns the socket or directory, and what to do; a clause for a message."""
    target = Path(os.path.realpath(path))
    for each in (target, *target.parents):
        with contextlib.suppress(OSError):
            about = each.lstat()
            break
    else:
        return "permission denied"
    owner = _user_name(about.st_uid)
    remedy = f"run the command as that user: sudo -u {owner} gearpool ..."
    if stat.S_ISSOCK(about.st_mode) and about.st_mode & 0o060:
        remedy += f"; or as a member of group {_group_name(about.st_gid)}"
    else:
        remedy += "; `control: {group: NAME}` in the configuration gives a group access"
    return f"permission denied: it belongs to {owner}; {remedy}"


def whose(directory: Path) -> str:
    """Describe another user's runtime directory; a clause for a message."""
    owner = _user_name(_owner(directory) or 0)
    return f"belongs to {owner}; if the daemon is theirs, run the command as that user: sudo -u {owner} gearpool ..."


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
        return f"#{number}"  # the form that sudo takes


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
