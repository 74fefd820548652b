"""`gearpool server`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.wire import T, Wire


def start(*options: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "gearpool", "server", *options]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("gearpool server: listening on 127.0.0.1:"), line
    return int(line.rpartition(":")[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_serves_and_stops_on_a_signal(number: signal.Signals) -> None:
    with start("--listen", "127.0.0.1:0") as process:
        with Wire(port_of(process)) as client:
            assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")
            process.send_signal(number)
            assert client.closed()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_running_job_may_end_after_the_signal() -> None:
    with start("--listen", "127.0.0.1:0", "--drain", "60s") as process:
        port = port_of(process)
        with Wire(port) as client, Wire(port) as worker:
            handle = client.submit(b"f")
            worker.register(b"f").grab()
            process.send_signal(signal.SIGTERM)
            worker.send_packet(T.WORK_COMPLETE, handle, b"r")
            assert client.receive() == (T.WORK_COMPLETE, handle, b"r")
        assert process.wait(20) == 0


def test_with_a_store_background_jobs_outlive_it(tmp_path: Path) -> None:
    store = str(tmp_path / "jobs.sqlite")
    with start("--listen", "127.0.0.1:0", "--store", store) as process:
        with Wire(port_of(process)) as client:
            handle = client.submit(b"f", b"u", b"x", T.SUBMIT_JOB_BG)
        process.send_signal(signal.SIGTERM)
    with start("--listen", "127.0.0.1:0", "--store", store) as process:
        with Wire(port_of(process)) as worker:
            assert worker.register(b"f").grab()[1] == handle
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_a_second_signal_ends_the_running_jobs_now() -> None:
    with start("--listen", "127.0.0.1:0", "--drain", "600s") as process:
        port = port_of(process)
        with Wire(port) as client, Wire(port) as worker:
            client.submit(b"f")
            worker.register(b"f").grab()
            process.send_signal(signal.SIGINT)
            # The first has been taken once nothing is taken in any more.
            while client.ask(T.SUBMIT_JOB_BG, b"g", b"", b"")[0] is not T.ERROR:
                pass
            process.send_signal(signal.SIGINT)
            assert client.closed()
        assert process.wait(20) == 0


def test_a_port_in_use_is_a_clear_error_and_exit_73() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with start("--listen", address) as process:
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (73, "")
    assert err.startswith(f"gearpool server: cannot listen on {address}: Address already in use (another job server")


def test_an_address_that_is_none_is_a_clear_error_and_exit_73() -> None:
    with start("--listen", "here:there") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 73
    assert "'here:there' is not an address to listen on: the port must be 0 to 65535, got 'there'" in err


def test_tls_options_without_a_certificate_are_a_usage_error() -> None:
    with start("--tls-key", "x") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 64
    assert "need --tls-cert" in err


def test_a_certificate_that_cannot_be_read_is_exit_78() -> None:
    with start("--tls-cert", "/nowhere.pem") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 78
    assert "cannot use cert /nowhere.pem" in err


def test_help_has_examples() -> None:
    with start("--help") as process:
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "gearpool server --listen :4730" in out
