"""The worker for tests, in a thread of its own."""

from __future__ import annotations

import threading

import pytest

from gearpool import Client, JobException
from gearpool.errors import ConfigurationError, InvalidArgument
from gearpool.testing import ThreadedWorker, job_server, working
from tests.processes import free_port


def test_it_serves_while_the_test_blocks() -> None:
    with job_server() as server, working(server, reverse=lambda arg: arg[::-1]), Client(server.address) as client:
        assert client.submit_job("reverse", "abc", timeout=20) == b"cba"


def test_abilities_come_with_their_options_and_go() -> None:
    threads: list[int] = []

    def fail(arg: bytes) -> None:
        threads.append(threading.get_ident())
        raise ValueError("why")

    with job_server() as server, working(server) as worker, Client(server.address) as client:
        worker.add("fail", fail, report="exception")
        with pytest.raises(JobException) as raised:
            client.submit_job("fail", timeout=20)
        assert raised.value.payload == b"ValueError: why"
        assert threads != [threading.get_ident()]
        worker.remove("fail")
        job = client.submit_background_job("fail")
        assert client.get_job_status(job).is_known


def test_what_goes_wrong_is_raised_in_the_test() -> None:
    with job_server() as server, working(server) as worker:
        with pytest.raises(ConfigurationError):
            worker.add("f", lambda: None)
    with pytest.raises(RuntimeError, match="not running"):
        worker.add("f", lambda arg: arg)
    worker.stop()
    with pytest.raises(InvalidArgument):
        ThreadedWorker("127.0.0.1:none").start()
    with ThreadedWorker(f"127.0.0.1:{free_port()}") as lonely:
        lonely.add("f", lambda arg: arg, wait=0)
        with pytest.raises(TimeoutError, match="no job server knows"):
            lonely.add("g", lambda arg: arg, wait=0.1)
