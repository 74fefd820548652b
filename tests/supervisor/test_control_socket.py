from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gearpool.settings import ControlSettings
from gearpool.supervisor import control_socket, paths
from gearpool.supervisor.control_socket import CannotListenError, ControlSocket
from gearpool.supervisor.loop import READ, Loop
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import plain_settings


def test_the_socket_is_private_to_the_user(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    assert stat.S_IMODE(daemon.socket().stat().st_mode) == 0o600


def test_an_existing_file_at_the_socket_path_is_kept(daemons: Factory) -> None:
    daemon = daemons()
    place = daemon.folder / "precious"
    place.write_text("data")
    daemon.configure(plain_settings(control=ControlSettings(socket=str(place))))
    assert daemon.start().wait() == 73
    assert place.read_text() == "data"


def test_garbage_on_the_socket_does_no_harm(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(daemon.socket()))
        stream.sendall(b"\0\xff\n[1]\nnull\n" + json.dumps({"do": ["ping"]}).encode() + b"\n")
        assert b'"ok":false' in stream.recv(4096)
    assert daemon.ask("ping")["state"] == "running"


def test_a_group_gets_access_to_the_socket(daemons: Factory) -> None:
    group = str(os.getegid())
    daemon = daemons(plain_settings(control=ControlSettings(group=group))).start().until_ready()
    about = daemon.socket().stat()
    assert (stat.S_IMODE(about.st_mode), about.st_gid) == (0o660, os.getegid())
    assert stat.S_IMODE(daemon.runtime.stat().st_mode) == 0o750
    assert not daemon.events("control.unreachable")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give the socket to another group")
def test_a_socket_that_its_group_cannot_reach_logs_a_warning(daemons: Factory) -> None:
    daemon = daemons()
    place = daemon.folder / "closed" / "own.sock"
    place.parent.mkdir(mode=0o700)
    daemon.configure(plain_settings(control=ControlSettings(socket=str(place), group="4711")))
    daemon.start().until_ready()
    (warning,) = daemon.events("control.unreachable")
    assert str(place.parent) in warning["message"]


def test_a_group_that_does_not_exist_fails_the_start(daemons: Factory) -> None:
    daemon = daemons(plain_settings(control=ControlSettings(group="nobody-is-in-it")))
    assert daemon.start().wait() == 73
    assert "no group nobody-is-in-it" in daemon.events("daemon.start_failed")[0]["message"]


class Server:
    """A control socket in this process that answers each request with itself."""

    def __init__(self, file: str, settings: ControlSettings) -> None:
        self.loop = Loop()
        self.closed = False
        try:
            self.control = ControlSocket(self.loop, file, settings, self.serve)
        except CannotListenError:
            self.loop.close()
            raise

    def serve(self, message: dict[str, Any], reply: Callable[[dict[str, Any]], None]) -> None:
        reply({"ok": True, "result": message})
        self.loop.stop()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.control.close()
            self.loop.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    # Not below tmp_path: the path of a unix socket has at most 107 bytes.
    runtime = tempfile.mkdtemp(prefix="gearpool-")
    monkeypatch.setenv("RUNTIME_DIRECTORY", runtime)
    servers: list[Server] = []

    def start(**settings: Any) -> Server:
        servers.append(Server(str(tmp_path / "workers.yaml"), ControlSettings(**settings)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    shutil.rmtree(runtime)


def connect(server: Server) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(20)
    stream.connect(str(server.control.path))
    return stream


def test_a_request_is_answered_on_its_connection(serve: Callable[..., Server]) -> None:
    server = serve()
    with connect(server) as first, connect(server) as second:
        second.sendall(b'{"do":"ping"}\n')
        server.loop.run()
        assert json.loads(second.recv(4096)) == {"ok": True, "result": {"do": "ping"}}
        first.setblocking(False)
        with pytest.raises(BlockingIOError):
            first.recv(1)


def test_connections_beyond_the_limit_are_closed(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "MAX_CONNECTIONS", 1)
    server = serve()
    with connect(server) as first, connect(server) as second:
        first.sendall(b'{"do":"ping"}\n')
        server.loop.run()
        assert first.recv(4096)
        server.loop.watch(second.fileno(), READ, lambda _mask: server.loop.stop())
        server.loop.run()
        server.loop.forget(second.fileno())
        assert second.recv(1) == b""


def test_a_second_server_for_the_same_file_is_refused_while_the_first_lives(serve: Callable[..., Server]) -> None:
    first = serve()
    with pytest.raises(CannotListenError, match="another gearpool already runs"):
        serve()
    path = first.control.path
    assert path.exists()


def test_a_custom_path_is_linked_from_the_default_path_until_it_is_closed(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    place = Path(tempfile.mkdtemp(prefix="gearpool-")) / "own.sock"
    server = serve(socket=str(place))
    link = paths.own_directory() / paths.socket_name(str(tmp_path / "workers.yaml"))
    assert link.readlink() == place
    server.close()
    assert not link.is_symlink()
    assert not place.exists()
    shutil.rmtree(place.parent)


@pytest.mark.parametrize(
    ("place", "reason"),
    [("{}/" + "x" * 120, "the path is longer than 107 bytes"), ("{}/missing/own.sock", "set control.socket")],
)
def test_a_path_that_cannot_be_used_says_why(
    serve: Callable[..., Server], tmp_path: Path, place: str, reason: str
) -> None:
    with pytest.raises(CannotListenError, match=reason):
        serve(socket=place.format(tmp_path))
