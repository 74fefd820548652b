"""A faulty job server is disconnected and hardly affects the other servers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gearpool import Client
from gearpool.protocol.codec import Decoder, response
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.testing.servers import job_server
from tests.processes import wait_for
from tests.worker.serving import SHORT, function, serving

_T = PacketType
FLOODS = {
    "ECHO_RES": response(_T.ECHO_RES, b"gearpool"),
    "ERROR": response(_T.ERROR, b"ERR_ODD", b"something odd"),
    "JOB_NOT_FOUND": response(_T.ERROR, b"JOB_NOT_FOUND", b"no such job"),
    "NOOP": response(_T.NOOP),
    "NO_JOB": response(_T.NO_JOB),
    "JOB_CREATED": response(_T.JOB_CREATED, b"H:x:1"),
    "large ECHO_RES": response(_T.ECHO_RES, b"x" * 500_000),
    "OPTION_RES": response(_T.OPTION_RES, b"exceptions"),
}


class Hostile:
    """A server that accepts workers; once a worker sleeps, ``misbehave`` takes over its connection."""

    def __init__(self, misbehave: Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self.disconnects = 0
        self._misbehave = misbehave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        for connection in self._open:
            connection.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        decoder = Decoder(REQUEST_MAGIC)
        try:
            while data := connection.recv(65536):
                for kind, arguments in decoder.feed(data):
                    if kind is _T.ECHO_REQ:
                        connection.sendall(response(_T.ECHO_RES, *arguments))
                    elif kind is _T.PRE_SLEEP:
                        self._misbehave(connection)
        except OSError:
            pass
        self.disconnects += 1


@pytest.fixture
def healthy() -> Iterator[str]:
    with job_server() as server:
        yield server.address


def _flood(packet: bytes) -> Callable[[socket.socket], None]:
    def flood(connection: socket.socket) -> None:
        block = packet * max(1, 200_000 // len(packet))
        while True:
            connection.sendall(block)

    return flood


@pytest.mark.parametrize("what", FLOODS)
def test_a_server_that_floods_is_disconnected_and_neither_starves_others_nor_fills_the_log(
    what: str, healthy: str, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = Hostile(_flood(FLOODS[what]))
    try:
        with (
            serving([function("echo", lambda arg: arg)], hostile.address, healthy, timeouts=SHORT),
            Client(healthy) as client,
        ):
            for round_ in range(1, 4):
                wait_for(lambda: hostile.disconnects >= round_, "the flooding server to be disconnected")  # noqa: B023 - called at once
                assert client.submit_job("echo", b"x", timeout=20) == b"x"
    finally:
        hostile.close()
    assert len(caplog.records) < 40


def _send_noop_repeatedly(connection: socket.socket) -> None:
    while True:
        connection.sendall(response(_T.NOOP))
        time.sleep(0.02)


def _trickle(connection: socket.socket) -> None:
    for byte in response(_T.JOB_ASSIGN_UNIQ, b"H:x:1", b"echo", b"u", b"x" * 100_000):
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def _be_silent(connection: socket.socket) -> None:
    """Only answer ECHO_REQ, as `Hostile` does."""


@pytest.mark.parametrize("how", [_send_noop_repeatedly, _trickle, _be_silent])
def test_a_server_that_leaves_grabs_unanswered_does_not_withhold_slots_from_other_servers(
    how: Callable[[socket.socket], None], healthy: str, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = Hostile(how)
    try:
        # There is only one slot.
        with (
            serving([function("echo", lambda arg: arg)], hostile.address, healthy, concurrency=1, timeouts=SHORT),
            Client(healthy) as client,
        ):
            wait_for(lambda: hostile.disconnects >= 2, "the server to be disconnected twice")
            for number in range(5):
                assert client.submit_job("echo", b"%d" % number, timeout=20) == b"%d" % number
    finally:
        hostile.close()
    assert "has not answered a request for jobs" in caplog.text


def test_a_large_job_on_a_slow_connection_is_not_taken_for_an_unanswered_grab(healthy: str) -> None:
    """It takes much longer than a grab may stay unanswered, but data keeps arriving."""
    size = 400_000

    def slowly(connection: socket.socket) -> None:
        packet = response(_T.JOB_ASSIGN_UNIQ, b"H:x:1", b"size", b"u", b"x" * size)
        for start in range(0, len(packet), 4000):
            connection.sendall(packet[start : start + 4000])
            time.sleep(0.02)

    sizes: list[int] = []
    slow = Hostile(slowly)
    try:
        with serving([function("size", lambda arg: sizes.append(len(arg)))], slow.address, healthy, timeouts=SHORT):
            wait_for(lambda: sizes, "the job")
    finally:
        slow.close()
    assert sizes[0] == size
    assert slow.connections == 1
