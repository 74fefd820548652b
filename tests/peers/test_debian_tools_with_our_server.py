"""Debian's ``gearman`` and ``gearadmin`` against the embedded server."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.testing.servers import ThreadedJobServer, job_server
from tests.conformance.wire import T, Wire
from tests.processes import need, wait_for

pytestmark = pytest.mark.peer("gearman-tools")


@pytest.fixture
def server() -> Iterator[ThreadedJobServer]:
    with job_server() as running:
        yield running


def gearman(server: ThreadedJobServer, *options: str, data: str = "") -> subprocess.CompletedProcess[str]:
    argv = [need("gearman"), "-h", "127.0.0.1", "-p", str(server.port), *options]
    return subprocess.run(argv, input=data, capture_output=True, text=True, timeout=30, check=False)


def gearadmin(server: ThreadedJobServer, *options: str) -> str:
    argv = [need("gearadmin"), "-h", "127.0.0.1", "-p", str(server.port), *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout


@contextlib.contextmanager
def gearman_worker(server: ThreadedJobServer, function: str, *command: str) -> Iterator[None]:
    argv = [need("gearman"), "-h", "127.0.0.1", "-p", str(server.port), "-w", "-f", function, "--", *command]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: f"{function}\t0\t0\t1" in gearadmin(server, "--status"), "the worker to register")
            yield
        finally:
            process.terminate()


def test_gearman_submits_and_gearman_works(server: ThreadedJobServer) -> None:
    with gearman_worker(server, "up", "tr", "a-z", "A-Z"):
        done = gearman(server, "-f", "up", data="hello")
    assert (done.returncode, done.stdout) == (0, "HELLO")


def test_gearman_submits_a_job_for_each_argument(server: ThreadedJobServer) -> None:
    with gearman_worker(server, "up", "tr", "a-z", "A-Z"):
        done = gearman(server, "-f", "up", "one", "two")
    assert done.stdout == "ONETWO"


@pytest.mark.parametrize("option", [(), ("-I",), ("-L",)], ids=["normal", "high", "low"])
def test_gearman_submits_in_the_background_at_every_priority(
    server: ThreadedJobServer, option: tuple[str, ...]
) -> None:
    assert gearman(server, "-b", *option, "-f", "later", "-u", "id-1", "payload").returncode == 0
    with Wire(server.port) as worker:
        reply = worker.register(b"later").grab()
        assert reply[0] is T.JOB_ASSIGN_UNIQ
        assert reply[3:] == (b"id-1", b"payload")


def test_gearman_exits_with_1_when_the_job_fails(server: ThreadedJobServer) -> None:
    with (
        Wire(server.port) as worker,
        subprocess.Popen(
            [need("gearman"), "-h", "127.0.0.1", "-p", str(server.port), "-f", "bad", "x"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as client,
    ):
        worker.register(b"bad").send_packet(T.PRE_SLEEP)
        assert worker.receive() == (T.NOOP,)
        worker.send_packet(T.WORK_FAIL, worker.grab()[1])
        assert client.wait(30) == 1


def test_gearadmin_reads_status_priorities_workers_and_jobs(server: ThreadedJobServer) -> None:
    with Wire(server.port) as client, Wire(server.port) as worker:
        handle = client.submit(b"f", b"id-1").decode()
        worker.register(b"f").send_packet(T.SET_CLIENT_ID, b"me")
        worker.sync()
        assert gearadmin(server, "--status") == "f\t1\t0\t1\n.\n"
        assert gearadmin(server, "--priority-status") == "f\t0\t1\t0\t1\n.\n"
        workers = gearadmin(server, "--workers").splitlines()
        assert workers[-1] == "."
        assert any(line.endswith(" 127.0.0.1 me : f") for line in workers)
        assert gearadmin(server, "--show-jobs") == f"{handle}\t0\t0\t0\n.\n"
        assert gearadmin(server, "--show-unique-jobs") == "id-1\n.\n"


def test_gearadmin_creates_and_drops_a_function(server: ThreadedJobServer) -> None:
    gearadmin(server, "--create-function", "made")
    assert gearadmin(server, "--status") == "made\t0\t0\t0\n.\n"
    gearadmin(server, "--drop-function", "made")
    assert gearadmin(server, "--status") == ".\n"


def test_gearadmin_cancels_a_job(server: ThreadedJobServer) -> None:
    with Wire(server.port) as client:
        handle = client.submit(b"f")
        gearadmin(server, "--cancel-job", handle.decode())
        assert client.receive() == (T.WORK_FAIL, handle)
    assert gearadmin(server, "--status") == "f\t0\t0\t0\n.\n"


def test_gearadmin_reads_version_process_and_verbosity(server: ThreadedJobServer) -> None:
    assert "gearpool-" in gearadmin(server, "--server-version")
    assert gearadmin(server, "--getpid").strip().split()[-1].isdigit()
    assert "ERROR" in gearadmin(server, "--server-verbose")


def test_a_payload_from_a_file_arrives_unchanged(server: ThreadedJobServer, tmp_path: Path) -> None:
    # Less than a pipe holds: ``gearman -w`` writes all of it before it reads the command's output.
    payload = bytes(range(256)) * 200
    (tmp_path / "in").write_bytes(payload)
    argv = [need("gearman"), "-h", "127.0.0.1", "-p", str(server.port), "-f", "cat"]
    with gearman_worker(server, "cat", "cat"), (tmp_path / "in").open("rb") as stdin:
        done = subprocess.run(argv, stdin=stdin, capture_output=True, timeout=30, check=True)
    assert done.stdout == payload
