"""Client of the control socket: finds a running daemon and sends it one request. Floor 4; stdlib only.

Invariant: every call has a time limit, and nothing is loaded that is slow to import.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gearpool import json_lines
from gearpool.errors import ConfigurationError, GearpoolError, NoServersAvailable, TimedOut
from gearpool.supervisor import paths

TIME_S = 10.0
FILE_S = 2.0
"""How long to wait for a daemon to say which file it runs."""


class NoDaemonError(NoServersAvailable):
    """No gearpool listens on any of the sockets tried, or none that this user may access (exit 69).

    Attributes:
        reasons: why each socket was of no use, by path.
        denied: the path of a socket that this user may not access, if any.
    """

    def __init__(self, reasons: Mapping[str, str], denied: str | None = None) -> None:
        super().__init__(reasons)
        self.denied = denied
        if denied is not None:
            others = {path: reason for path, reason in self.reasons.items() if path != denied}
            tail = f" (no other gearpool was found: {_listed(others)})" if others else ""
            self.args = (f"{denied}: {self.reasons[denied]}{tail}",)
        else:
            self.args = (f"no running gearpool found ({_listed(self.reasons)})",)


class RefusedError(GearpoolError):
    """The daemon refused the request; the text says why."""


def find(socket_path: str | None, configuration: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Find a daemon's socket: the one given, else the configuration file's, else the only one running.

    Raises:
        NoDaemonError: no such daemon runs, or it belongs to another user.
        ConfigurationError: several daemons run and none was named.
    """
    if socket_path:
        return Path(socket_path)
    if configuration:
        return _of_file(configuration, environment)
    alive, refused = _alive(paths.all_sockets(environment))
    if len(alive) == 1:
        return alive[0]
    if alive:
        listed = "\n".join(f"  {_with_file(path)}" for path in alive)
        raise ConfigurationError(f"several gearpools are running; choose one with -c FILE or --socket PATH:\n{listed}")
    for directory in paths.runtime_directories(environment):
        refused.setdefault(directory, _why_not_listed(directory))
    raise _none_found(refused)


def _of_file(configuration: str, environment: Mapping[str, str]) -> Path:
    alive, refused = _alive(paths.candidates(configuration, environment))
    if alive:
        return alive[0]
    # It may have been started with another path to the same file, through another symlink for example.
    running: dict[Path, str] = {}
    for path in _alive(paths.all_sockets(environment))[0]:
        if file := _file_of(path):
            running[path] = file
    for path, file in running.items():
        with contextlib.suppress(OSError):
            if Path(file).samefile(configuration):
                return path
    refused.update((path, NoDaemonError({os.fspath(path): f"runs {file}"})) for path, file in running.items())
    raise _none_found(refused)


def _file_of(path: Path) -> str | None:
    """The configuration file of the daemon behind the socket; None if it does not answer."""
    with contextlib.suppress(GearpoolError, ValueError, TypeError, KeyError):
        return str(call(path, "ping", FILE_S)["config"])
    return None


def _with_file(path: Path) -> str:
    """The command line options that select the daemon behind the socket."""
    file = _file_of(path)
    return f"--socket {path}" if file is None else f"-c {file}   (--socket {path})"


def _none_found(refused: Mapping[Path, NoDaemonError]) -> NoDaemonError:
    """Merge several errors into one; a denied access comes first."""
    reasons: dict[str, str] = {}
    denied = None
    for error in refused.values():
        reasons.update(error.reasons)
        denied = denied or error.denied
    if denied is None:
        for path in paths.others_directories():
            reasons.setdefault(os.fspath(path), paths.whose(path))
    return NoDaemonError(reasons, denied)


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{path}: {reason}" for path, reason in reasons.items())


def _why_not_listed(directory: Path) -> NoDaemonError:
    """Explain why no socket was found in a runtime directory."""
    name = os.fspath(directory)
    try:
        next(directory.iterdir(), None)
    except PermissionError:
        return NoDaemonError({name: paths.who_may(directory)}, name)
    except OSError:
        pass
    return NoDaemonError({name: "no gearpool"})


def call(path: Path, do: str, time_s: float = TIME_S, **fields: Any) -> Any:
    """Send one request to the daemon behind ``path`` and return its result.

    Raises:
        NoDaemonError: no daemon listens there.
        TimedOut: no answer within ``time_s`` seconds.
        RefusedError: the daemon refused the request.
    """
    request = json_lines.encode({"do": do, **fields})
    with _connected(path) as stream:
        stream.settimeout(time_s)
        try:
            stream.sendall(request)
            with stream.makefile("rb") as lines:
                line = lines.readline()
        except TimeoutError as error:
            raise TimedOut(f"no answer from {path} within {time_s:g} s") from error
        except OSError as error:
            raise NoDaemonError({os.fspath(path): str(error)}) from error
    if not line.endswith(b"\n"):
        raise NoDaemonError({os.fspath(path): "the daemon exited before it answered"})
    answer = json.loads(line)
    if not answer.get("ok"):
        raise RefusedError(str(answer.get("error", "refused")))
    return answer.get("result")


def wait_until_gone(path: Path, time_s: float | None) -> bool:
    """Whether the daemon behind ``path`` exits within ``time_s`` seconds (None: wait without limit)."""
    try:
        with _connected(path) as stream:
            stream.settimeout(time_s)
            return stream.recv(1) == b""
    except TimeoutError:
        return False
    except (NoDaemonError, OSError):
        return True


def _connected(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(TIME_S)
    name = os.fspath(path)
    try:
        stream.connect(name)
    except OSError as error:
        stream.close()
        if isinstance(error, PermissionError):
            raise NoDaemonError({name: paths.who_may(path)}, name) from error
        missing = isinstance(error, FileNotFoundError)
        raise NoDaemonError({name: "no such socket" if missing else error.strerror or str(error)}) from error
    return stream


def _alive(sockets: Sequence[Path]) -> tuple[list[Path], dict[Path, NoDaemonError]]:
    """The sockets that accept a connection, and why each of the others does not."""
    alive: list[Path] = []
    refused: dict[Path, NoDaemonError] = {}
    for path in sockets:
        try:
            _connected(path).close()
        except NoDaemonError as error:
            refused[path] = error
        else:
            alive.append(path)
    return alive, refused
