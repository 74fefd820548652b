"""`Worker`, as a program of one's own uses it: in a process of its own, since it takes over the main thread."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gearpool import Client, Worker
from gearpool.errors import ConfigurationError, InvalidArgument

PROGRAM = """
import sys
from gevent import monkey
monkey.patch_all()
from gearpool import Worker

def reverse(arg, job):
    return arg[::-1]

with Worker(sys.argv[1]) as worker:
    worker.add_ability("reverse", reverse, timeout=30)
    for _ in range(2):
        assert worker.work(timeout=20)
    worker.remove_ability("reverse")
    worker.add_ability("upper", bytes.upper)
    assert worker.work(timeout=20)
    assert not worker.work(timeout=0.05)
print("bye")
"""


def test_work_takes_one_job_each_and_abilities_come_and_go(server: str, client: Client) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, server],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert client.submit_job("reverse", b"abc", timeout=20) == b"cba"
        assert client.submit_job("reverse", b"def", timeout=20) == b"fed"
        assert client.submit_job("upper", b"x", timeout=20) == b"X"
        out, err = process.communicate(timeout=20)
    assert (out, err.strip(), process.returncode) == ("bye\n", "", 0)


def test_work_times_out_when_no_server_is_there() -> None:
    worker = Worker("127.0.0.1:1")
    worker.add_ability("x", lambda arg: arg)
    assert not worker.work(timeout=0.05)
    worker.close(0)


def test_what_cannot_be_served_is_refused_at_once() -> None:
    worker = Worker()
    with pytest.raises(InvalidArgument):
        worker.add_ability("a b", lambda arg: arg)
    with pytest.raises(ConfigurationError):
        worker.add_ability("x", lambda: None)
    with pytest.raises(InvalidArgument):
        Worker(concurrency=0)
