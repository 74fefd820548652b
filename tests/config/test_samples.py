"""Every sample of ``config/`` is run by the daemon and does a job."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.cli.commands import environment, gearpool
from tests.processes import Gearmand, accepts, free_port, wait_for

CONFIG = Path(__file__).parents[2] / "config"
DONE: dict[str, tuple[str, str, bytes]] = {
    "workers.yaml": ("reverse", "hello", b"olleh"),
    "gearmand.yaml": ("hello", "you", b"Hello, you!"),
    "cpu-bound.yaml": ("wordcount", "a b a", b"3"),
    "many-functions.yaml": ("count", "a b a", b"3"),
    "retries.yaml": ("fetch", "x", b"x"),
    "http.yaml": ("hello", "you", b"Hello, you!"),
    "everything.yaml": ("everything", "x", b"x"),
    "conf.d": ("greet", "you", b"Hello, you!"),
    "tls.yaml": ("reverse", "hello", b"olleh"),
}
"""Function, payload and result by sample."""


@pytest.fixture
def samples() -> Iterator[Path]:
    """A copy of them: they listen on the usual port, and the daemon writes its socket beside one of them."""
    with tempfile.TemporaryDirectory(prefix="gearpool-") as folder:  # short: a socket's path has at most 107 bytes
        yield Path(shutil.copytree(CONFIG, Path(folder) / "config"))


def does_its_job(sample: Path, servers: list[str], port: int | None = None, **variables: str) -> None:
    """Start the daemon on it, have it do a job, and end it; ``port`` is its own server's."""
    function, payload, result = DONE[sample.name]
    runtime = sample.parent.parent / "run"
    runtime.mkdir()
    with (sample.parent.parent / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "gearpool", "-c", str(sample)],
            stderr=log, stdout=log, process_group=0, env=environment(RUNTIME_DIRECTORY=str(runtime), **variables),
        )  # fmt: skip
    try:
        if port is not None:
            wait_for(lambda: accepts(port), "the embedded server")
        done = gearpool("submit", function, payload, *servers, "--timeout", "30s", env=variables)
        assert done.out.rstrip(b"\n") == result
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
    except BaseException:
        print((sample.parent.parent / "log").read_text())
        raise
    finally:
        if daemon.poll() is None:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()


def test_every_sample_is_here() -> None:
    assert {path.name for path in CONFIG.iterdir() if path.suffix == ".yaml" or path.is_dir()} == set(DONE)


@pytest.mark.parametrize("name", ["gearmand.yaml", "cpu-bound.yaml", "many-functions.yaml", "retries.yaml", "conf.d"])
def test_a_sample_for_gearmand_serves_it(name: str, samples: Path, gearmand: Gearmand) -> None:
    does_its_job(samples / name, ["--servers", gearmand.address], GEARMAND=gearmand.address)


@pytest.mark.parametrize("name", ["workers.yaml", "everything.yaml"])
def test_a_sample_with_the_embedded_server_needs_nothing_else(name: str, samples: Path) -> None:
    port = free_port()
    sample = samples / name
    sample.write_text(sample.read_text().replace("listen: 127.0.0.1:4730", f"listen: 127.0.0.1:{port}"))
    does_its_job(sample, ["--servers", f"127.0.0.1:{port}"], port)


def test_the_sample_with_http_takes_its_tokens_from_the_environment(samples: Path, gearmand: Gearmand) -> None:
    sample = samples / "http.yaml"
    done = gearpool("check", "--offline", "-c", str(sample), code=78)
    assert "choose a token that operators send" in done.err
    assert "choose a token for reading" in done.err
    given = {
        "GEARMAND": gearmand.address,
        "GEARPOOL_HTTP": f"127.0.0.1:{free_port()}",
        "GEARPOOL_TOKEN": "t0ken",
        "GEARPOOL_READ_TOKEN": "re4d",
    }
    assert "t0ken" not in gearpool("check", "--offline", "--show", "-c", str(sample), env=given).text
    does_its_job(sample, ["--servers", gearmand.address], None, **given)


def test_the_sample_with_tls_serves_a_server_that_wants_certificates(samples: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(samples / "ca.pem"))
    for name, issued in (("server", authority.issue_cert("127.0.0.1")), ("worker", authority.issue_cert("worker"))):
        issued.cert_chain_pems[0].write_to_path(str(samples / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(samples / f"{name}.key"))
    port = free_port()
    address = f"127.0.0.1:{port}"
    files = ["--tls-cert", "server.pem", "--tls-key", "server.key", "--tls-ca", "ca.pem"]
    server = subprocess.Popen(
        [sys.executable, "-m", "gearpool", "server", "--listen", address, *files],
        stdout=subprocess.DEVNULL, cwd=samples, env=environment(),
    )  # fmt: skip
    try:
        wait_for(lambda: accepts(port), "the server")
        sample = samples / "tls.yaml"
        does_its_job(sample, ["-c", str(sample)], GEARMAND_TLS=address, TLS_DIR=str(samples))
    finally:
        server.terminate()
        server.wait(20)
