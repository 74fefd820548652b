from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator

import gevent
import pytest

from gearpool import json_lines, messages
from gearpool.children.channel import Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    channel = Channel(ours)
    with theirs:
        yield channel, theirs
    channel.close()


def test_events_of_several_greenlets_arrive_whole_while_the_supervisor_is_slow(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    long = "x" * 200_000
    events = [messages.Failed([long]), messages.ServerLost(long), messages.Reply(1, long)]
    senders = [gevent.spawn(channel.send, event) for event in events]
    gevent.sleep(0)
    assert not any(sender.dead for sender in senders), "they wait"
    theirs.settimeout(20.0)
    received = b""

    def read() -> None:
        nonlocal received
        while received.count(b"\n") < len(events):
            received += theirs.recv(1 << 20)

    gevent.get_hub().threadpool.apply(read)
    gevent.joinall(senders, timeout=20, raise_error=True)
    assert [sender.value for sender in senders] == [True] * 3
    assert [json.loads(line) for line in received.splitlines()] == [messages.as_dict(event) for event in events]


def test_commands_come_in_order_until_the_supervisor_is_gone(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    sent = [messages.Quiet(), messages.Drain(3.5), messages.KillJob(7, "H:1")]
    data = b"".join(json_lines.encode(messages.as_dict(each)) for each in sent)
    theirs.sendall(data[:10])
    theirs.sendall(data[10:])
    theirs.close()
    assert list(channel.commands()) == sent


def test_commands_read_earlier_come_first() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(ours, json_lines.Decoder(), [messages.as_dict(messages.StopNow())])
        theirs.sendall(json_lines.encode(messages.as_dict(messages.Quiet())))
        theirs.shutdown(socket.SHUT_WR)
        assert list(channel.commands()) == [messages.StopNow(), messages.Quiet()]
        channel.close()


def test_garbage_is_logged_and_skipped(ends: tuple[Channel, socket.socket], caplog: pytest.LogCaptureFixture) -> None:
    channel, theirs = ends
    theirs.sendall(b'nonsense\n{"do": "dance"}\n{"do": "pause"}\n{"do": "apply", "settings": {"no_such_setting": 1}}\n')
    theirs.sendall(b'{"do": "quiet", "new_field": 1}\n')
    theirs.shutdown(socket.SHUT_WR)
    with caplog.at_level(logging.ERROR):
        assert list(channel.commands()) == [messages.Quiet()]
    assert len(caplog.records) == 4


def test_send_returns_false_when_the_supervisor_is_gone() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    channel = Channel(ours)
    assert not channel.send(messages.Ready())
    channel.close()
