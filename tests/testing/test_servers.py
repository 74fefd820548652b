"""The job server for tests, from a test without greenlets and from one with."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from gearpool.testing.servers import ThreadedJobServer, job_server
from tests.conformance.wire import T, Wire


def test_a_test_that_blocks_is_served() -> None:
    with job_server() as server, Wire(server.port) as client:
        assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")


def test_stop_and_start_keep_the_port() -> None:
    with job_server() as server:
        port = server.port
        server.stop()
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            Wire(port)
        server.start()
        server.start()
        assert server.port == port
        with Wire(port) as client:
            assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")


def test_a_start_that_fails_raises_in_the_caller() -> None:
    with job_server() as server, pytest.raises(OSError, match="in use"):
        ThreadedJobServer(listen=("127.0.0.1", server.port)).start()


def test_call_runs_in_the_server_s_thread_and_brings_back_results_and_errors() -> None:
    with job_server() as server:
        assert server.call(lambda _: threading.get_ident()) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            server.call(lambda _: 1 // 0)
        server.stop()
        with pytest.raises(RuntimeError, match="not running"):
            server.call(lambda _: None)


def test_it_works_in_a_monkey_patched_process() -> None:
    program = """
from gevent import monkey; monkey.patch_all()
import socket
from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from gearpool.testing.servers import job_server
with job_server() as server:
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(request(PacketType.ECHO_REQ, b"x"))
        assert client.recv(100).endswith(b"x")
    server.restart()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
