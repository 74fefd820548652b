"""The other end of the control socket: finds a daemon and asks it one thing. Floor 4; stdlib only.

Law: a call never waits for ever, and loads nothing that takes time to import.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gearpool.errors import ConfigurationError, GearpoolError, NoServersAvailable, TimedOut
from gearpool.supervisor import paths

TIME_S = 10.0


class NoDaemonError(NoServersAvailable):
    """No gearpool runs behind any of the sockets that are meant (exit 69): ``reasons`` by path."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(reasons)
        detail = "; ".join(f"{path}: {reason}" for path, reason in self.reasons.items())
        self.args = (f"no running gearpool found ({detail})",)


class RefusedError(GearpoolError):
    """The daemon answered that it cannot do it."""


def find(socket_path: str | None, configuration: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The socket of the daemon that is meant: as given, else that of the configuration file, else the only one alive.

    Raises:
        NoDaemonError: no such daemon runs.
        ConfigurationError: several run and none was named.
    """
    if socket_path:
        return Path(socket_path)
    if configuration:
        places = paths.candidates(configuration, environment)
        for path in places:
            if path.exists():
                return path
        raise NoDaemonError({os.fspath(path): "no gearpool runs this file" for path in places})
    alive = [path for path in paths.all_sockets(environment) if _alive(path)]
    if not alive:
        raise NoDaemonError({os.fspath(path): "no gearpool" for path in paths.runtime_directories(environment)})
    if len(alive) > 1:
        listed = "\n".join(f"  {path}" for path in alive)
        raise ConfigurationError(f"several gearpools run; say which by -c FILE or --socket PATH:\n{listed}")
    return alive[0]


def call(path: Path, do: str, time_s: float = TIME_S, **fields: Any) -> Any:
    """Ask the daemon behind ``path`` and return its result.

    Raises:
        NoDaemonError: nobody listens there.
        TimedOut: no answer within ``time_s`` seconds.
        RefusedError: it said why not.
    """
    request = json.dumps({"do": do, **fields}).encode("ascii") + b"\n"
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
        raise NoDaemonError({os.fspath(path): "it left before it answered"})
    answer = json.loads(line)
    if not answer.get("ok"):
        raise RefusedError(str(answer.get("error", "refused")))
    return answer.get("result")


def wait_until_gone(path: Path, time_s: float | None) -> bool:
    """Whether the daemon behind ``path`` left within ``time_s`` seconds (None: however long it takes)."""
    try:
        with _connected(path) as stream:
            stream.settimeout(time_s)
            return stream.recv(1) == b""
    except NoDaemonError:
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def _connected(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(TIME_S)
    try:
        stream.connect(os.fspath(path))
    except OSError as error:
        stream.close()
        raise NoDaemonError({os.fspath(path): error.strerror or str(error)}) from error
    return stream


def _alive(path: Path) -> bool:
    try:
        _connected(path).close()
    except NoDaemonError:
        return False
    return True
