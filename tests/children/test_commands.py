from __future__ import annotations

import json
import socket
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gearpool.children.commands import Commands


@pytest.fixture
def channel() -> Any:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with ours, theirs:
        yield ours, theirs


def test_what_several_say_to_a_supervisor_that_does_not_read_arrives_whole(channel: Any) -> None:
    """It is stopped, say: then they wait, and none of them is lost."""
    ours, theirs = channel
    pool: Any = SimpleNamespace(incarnations=SimpleNamespace(), suspects=SimpleNamespace())
    commands = Commands(pool, ours, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type] # only sends
    long = "x" * 200_000
    speakers = [gevent.spawn(commands.send, {"event": name, "text": long}) for name in ("status", "reported", "reply")]
    gevent.sleep(0)
    assert not any(speaker.dead for speaker in speakers), "they wait"
    theirs.settimeout(20.0)
    received = b""

    def read() -> None:
        nonlocal received
        while received.count(b"\n") < len(speakers):
            received += theirs.recv(1 << 20)

    gevent.get_hub().threadpool.apply(read)
    gevent.joinall(speakers, timeout=20, raise_error=True)
    said = [json.loads(line) for line in received.splitlines()]
    assert [message["event"] for message in said] == ["status", "reported", "reply"]
    assert all(message["text"] == long for message in said)
    commands._channel.close()
