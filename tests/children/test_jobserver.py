from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gearpool.settings import EmbeddedSettings, ServerSettings, Settings, to_json
from tests.conformance.wire import T, Wire
from tests.processes import accepts, free_port, wait_for


class Parent:
    """The supervisor's end."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(20)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gearpool.children.jobserver", "--channel", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._lines = self._ours.makefile("r")

    def tell(self, **message: Any) -> None:
        self._ours.sendall(json.dumps(message).encode() + b"\n")

    def start(self, listen: str, store: str = "memory") -> dict[str, Any]:
        embedded = EmbeddedSettings(listen=listen, store=store)
        settings = Settings(servers=(ServerSettings(host="127.0.0.1"),), functions=(), embedded=embedded)
        self.tell(do="start", settings=to_json(settings))
        return self.receive("ready", "failed")

    def receive(self, *events: str) -> dict[str, Any]:
        while True:
            line = self._lines.readline()
            assert line, "the child has exited"
            message: dict[str, Any] = json.loads(line)
            if message["event"] in events:
                return message

    def die(self) -> None:
        self._lines.close()
        self._ours.close()

    def code(self) -> int:
        return self.process.wait(20)


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent()
    try:
        yield parent
    finally:
        with contextlib.suppress(OSError):
            parent.die()
        parent.process.kill()
        parent.process.wait()


def test_it_reports_its_address_and_serves(parent: Parent) -> None:
    port = free_port()
    assert parent.start(f"127.0.0.1:{port}") == {"event": "ready", "listen": f"127.0.0.1:{port}"}
    with Wire(port) as client:
        assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")


def test_a_port_in_use_is_reported_and_exits_73(parent: Parent) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        problems = [f"cannot listen on {address}: Address already in use (another job server or program listens there)"]
        assert parent.start(address) == {"event": "failed", "problems": problems}
    assert parent.code() == 73


@pytest.mark.parametrize(
    ("listen", "store", "words"),
    [
        ("nonsense:port", "memory", "not an address to listen on"),
        ("127.0.0.1:0", "/nowhere/x.sqlite", "store: /nowhere/x.sqlite: unable to open"),
    ],
)
def test_invalid_settings_are_reported_and_exit_78(parent: Parent, listen: str, store: str, words: str) -> None:
    (problem,) = parent.start(listen, store)["problems"]
    assert words in problem
    assert parent.code() == 78


def test_it_reports_its_queues_when_they_change(parent: Parent) -> None:
    port = int(parent.start("127.0.0.1:0")["listen"].rpartition(":")[2])
    assert parent.receive("status") == {"event": "status", "queues": {}, "connections": 0}
    with Wire(port) as client:
        client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
        told = parent.receive("status")
        assert told["queues"] == {"f": {"total": 1, "running": 0, "workers": 0}}
        assert told["connections"] == 1


def test_a_drain_without_running_jobs_exits_at_once_with_0(parent: Parent) -> None:
    parent.start("127.0.0.1:0")
    parent.tell(do="drain", seconds=30)
    assert parent.code() == 0


def test_a_drain_waits_for_running_jobs(parent: Parent) -> None:
    port = int(parent.start("127.0.0.1:0")["listen"].rpartition(":")[2])
    with Wire(port) as client, Wire(port) as worker:
        handle = client.submit(b"f")
        worker.register(b"f").grab()
        parent.tell(do="drain", seconds=30)
        wait_for(lambda: not accepts(port), "the listener to close")
        worker.send_packet(T.WORK_COMPLETE, handle, b"r")
        assert client.receive() == (T.WORK_COMPLETE, handle, b"r")
    assert parent.code() == 0


def test_a_drain_exits_at_the_deadline(parent: Parent) -> None:
    port = int(parent.start("127.0.0.1:0")["listen"].rpartition(":")[2])
    with Wire(port) as client, Wire(port) as worker:
        client.submit(b"f")
        worker.register(b"f").grab()
        parent.tell(do="drain", seconds=0.1)
        assert parent.code() == 0


def test_quiet_closes_only_the_listener(parent: Parent) -> None:
    port = int(parent.start("127.0.0.1:0")["listen"].rpartition(":")[2])
    with Wire(port) as client:
        client.sync()
        parent.tell(do="quiet")
        wait_for(lambda: not accepts(port), "the listener to close")
        assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")


def test_it_exits_when_the_supervisor_dies_even_with_running_jobs(parent: Parent) -> None:
    port = int(parent.start("127.0.0.1:0")["listen"].rpartition(":")[2])
    with Wire(port) as client, Wire(port) as worker:
        client.submit(b"f")
        worker.register(b"f").grab()
        parent.die()
        assert parent.code() == 0


def test_it_exits_when_the_supervisor_dies_before_the_start(parent: Parent) -> None:
    parent.die()
    assert parent.code() == 0


def test_it_ignores_signals(parent: Parent) -> None:
    port = int(parent.start("127.0.0.1:0")["listen"].rpartition(":")[2])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTSTP):
        os.kill(parent.process.pid, number)
    with Wire(port) as client:
        assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")
    assert parent.process.poll() is None
