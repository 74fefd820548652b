"""A client whose process did not run for a while: the server is judged by what it did, not by our absence."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from gearpool.protocol.packets import PacketType
from tests.client.conftest import Server, Workers
from tests.client.scripted import Peer, ScriptedServer
from tests.client.test_client import echo


def run(program: str, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout.strip()


@pytest.mark.parametrize("wait", ["future.result()", "next(iter(future.events()), None) or future.result()"])
def test_a_gevent_program_that_blocked_gets_the_answer_that_came_meanwhile(
    server: Server, work: Workers, wait: str
) -> None:
    work(echo=echo)
    program = f"""
        from gevent import monkey
        monkey.patch_all()
        import sys, time
        from gearpool import Client
        block = monkey.get_original("time", "sleep")
        with Client(sys.argv[1], request_timeout=0.5) as client:
            client.echo()
            future = client.submit("echo", "answer", timeout=1.0, unique="u")
            block(2.5)
            print({wait})
            handle = client.submit("echo", "x", timeout=30)
            block(1.5)
            print(handle.job(0.1).function)
    """
    assert run(program, server.address) == "b'answer'\necho"


def test_a_connection_that_is_opened_while_the_program_blocks_is_opened(server: Server) -> None:
    program = """
        from gevent import monkey
        monkey.patch_all()
        import sys, gevent
        from gearpool import Client
        block = monkey.get_original("time", "sleep")
        with Client(sys.argv[1], request_timeout=1.0, connect_timeout=1.0) as client:
            asking = gevent.spawn(client.echo, b"reached")
            while not client._dispatch.pool._dialing[client._dispatch.names[0]].locked():
                gevent.sleep(0)
            block(2.5)
            print(asking.get())
    """
    assert run(program, server.address) == "b'reached'"


def test_a_stopped_and_continued_process_gets_the_answer_that_came_meanwhile() -> None:
    program = """
        import sys, threading
        from gearpool import Client
        with Client(sys.argv[1], request_timeout=0.5) as client:
            client.echo()
            futures = [client.submit("f", "x", timeout=timeout) for timeout in (1.0, 60.0)]
            print("submitted", flush=True)
            print([future.result() for future in futures], flush=True)
    """
    submitted: list[Peer] = []

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.next()
        submitted.append(peer)
        peer.next()

    with ScriptedServer(script) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), server.address], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "submitted\n"
        process.send_signal(signal.SIGSTOP)
        while not submitted:
            time.sleep(0.01)
        for handle in (b"H:1", b"H:2"):
            submitted[0].send(PacketType.JOB_CREATED, handle)
            submitted[0].send(PacketType.WORK_COMPLETE, handle, b"done")
        time.sleep(2.0)  # longer than the limits above, by the process's clock
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=60)
    assert out == "[b'done', b'done']\n"
