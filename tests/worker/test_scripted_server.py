"""Packets that a real server sends rarely or never, from a scripted server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gearpool.protocol.codec import Decoder, Packet, response
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.settings import BreakerSettings
from tests.processes import wait_for
from tests.worker.serving import function, serving


class Script:
    """Accepts connections; answers the first GRAB of each with the next of ``answers``, all further ones with NO_JOB."""

    def __init__(self) -> None:
        self.answers: list[list[bytes]] = []
        self.heard: list[Packet] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def heard_kinds(self) -> list[PacketType]:
        return [kind for kind, _ in self.heard]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        decoder = Decoder(REQUEST_MAGIC)
        with connection:
            while True:
                try:
                    data = connection.recv(65536)
                except OSError:
                    return
                if not data:
                    return
                for kind, arguments in decoder.feed(data):
                    self.heard.append((kind, arguments))
                    if kind is PacketType.ECHO_REQ:
                        connection.sendall(response(PacketType.ECHO_RES, *arguments))
                    elif kind is PacketType.GRAB_JOB_UNIQ:
                        packets = self.answers.pop(0) if self.answers else [response(PacketType.NO_JOB)]
                        connection.sendall(b"".join(packets))
                    elif kind in (PacketType.WORK_COMPLETE, PacketType.WORK_FAIL) and arguments[0] == b"H:gone:1":
                        connection.sendall(response(PacketType.ERROR, b"JOB_NOT_FOUND", b"no such job"))


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    yield made
    made.close()


def assign(handle: bytes, name: bytes = b"echo", payload: bytes = b"") -> bytes:
    return response(PacketType.JOB_ASSIGN_UNIQ, handle, name, b"u", payload)


def test_a_lane_registers_once_and_grabs_one_job_before_it_sleeps(script: Script) -> None:
    with serving([function("echo", lambda arg: arg)], script.address):
        wait_for(lambda: PacketType.PRE_SLEEP in script.heard_kinds(), "the lane to sleep")
    kinds = [kind for kind in script.heard_kinds() if kind is not PacketType.ECHO_REQ]
    assert kinds[:4] == [
        PacketType.SET_CLIENT_ID, PacketType.CAN_DO, PacketType.GRAB_JOB_UNIQ, PacketType.PRE_SLEEP,
    ]  # fmt: skip
    assert PacketType.CANT_DO not in kinds


def test_a_result_for_a_job_unknown_to_the_server_is_logged_and_counted(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.answers.append([assign(b"H:gone:1")])
    with serving([function("echo", lambda arg: arg)], script.address) as running:
        wait_for(lambda: running.outcomes("echo").get("orphaned") == 1, "the orphan to be counted")
    assert [r for r in caplog.records if getattr(r, "gearpool_event", "") == "job.orphaned"]


def test_a_job_of_an_unserved_function_fails(script: Script) -> None:
    script.answers.append([assign(b"H:x:1", b"other")])
    with serving([function("echo", lambda arg: arg)], script.address):
        wait_for(lambda: (PacketType.WORK_FAIL, [b"H:x:1"]) in script.heard, "the job to be failed")


def test_a_server_that_sends_more_jobs_than_grabs_is_disconnected_and_reconnected(script: Script) -> None:
    script.answers.append([assign(b"H:x:1"), assign(b"H:x:2"), assign(b"H:x:3")])
    with serving([function("echo", lambda arg: arg)], script.address) as running:
        wait_for(lambda: script.connections >= 2, "a second connection")
        wait_for(lambda: running.snapshot()["slots"]["used"] == 0, "all slots to be free")


def test_garbage_from_the_server_closes_the_connection_but_does_not_stop_the_worker(script: Script) -> None:
    script.answers.append([b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    with serving([function("echo", lambda arg: arg)], script.address):
        wait_for(lambda: script.connections >= 2, "a second connection")


def test_a_breaker_sends_another_probe_if_the_connection_of_the_first_is_lost(script: Script) -> None:
    """If the probe job is never started, another job must become the probe."""
    breaker = BreakerSettings(failures=1, within_s=60.0, pause_s=0.01)

    def fail(arg: bytes) -> bytes:
        if arg:
            return arg
        raise ValueError

    script.answers.append([assign(b"H:x:1"), response(PacketType.NOOP)])  # opens the breaker
    # The probe, and in the same read a packet that ends the connection.
    script.answers.append([assign(b"H:x:2"), response(PacketType.OPTION_RES, b"not for a worker")])
    script.answers.append([assign(b"H:x:3", payload=b"x")])
    with serving([function("echo", fail, breaker=breaker)], script.address):
        wait_for(lambda: (PacketType.WORK_COMPLETE, [b"H:x:3", b"x"]) in script.heard, "another probe")
