"""Standard streams that are closed, full or read by nobody, as a shell makes them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gearpool import exit_codes
from gearpool.testing.servers import job_server
from tests.cli.commands import environment
from tests.client.workers import ThreadWorker


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A job server with a worker for echo."""
    with job_server() as server:
        worker = ThreadWorker(server.address, {"echo": lambda job: job.data})
        yield server.address
        worker.stop()


def shell(line: str, address: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``gearpool`` is ours."""
    ours = f'gearpool() {{ {shlex.quote(sys.executable)} -m gearpool "$@"; }}; set -o pipefail; '
    return subprocess.run(
        ["bash", "-c", ours + line], env=environment(GEARPOOL_SERVERS=address), capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["submit echo x", "queues", "queues --json", "admin status", "--version", "job H:none:1 --json", "schema"],
)
def test_output_that_cannot_be_written_is_reported_without_a_traceback(address: str, command: str) -> None:
    done = shell(f"gearpool {command} > /dev/full", address)
    assert (done.returncode, done.stderr) == (exit_codes.CANNOT_CREATE, "gearpool: No space left on device\n")


def test_lines_of_results_that_cannot_be_written_end_the_submitting(address: str) -> None:
    done = shell("seq 3000 | gearpool submit echo --lines > /dev/full", address)
    assert (done.returncode, done.stderr) == (exit_codes.CANNOT_CREATE, "gearpool: No space left on device\n")


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["submit echo -", "submit echo --lines", "queues", "admin version"])
def test_streams_that_are_closed_are_as_dev_null(address: str, command: str, redirection: str) -> None:
    done = shell(f"gearpool {command} {redirection}", address)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["queues", "schema", "submit echo --lines < <(seq 20000)"])
def test_a_reader_that_goes_away_is_no_error(address: str, command: str) -> None:
    done = shell(f"gearpool {command} | true", address)
    assert (done.returncode, done.stderr) == (0, "")
