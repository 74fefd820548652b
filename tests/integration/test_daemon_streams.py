"""The daemon with standard streams that are closed, full, or have no reader."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import COMMAND, Site, configuration
from tests.processes import Gearmand
from tests.supervisor.daemons import ROOT

NO_READER = "no reader"


def start(site: Site, redirection: str) -> subprocess.Popen[bytes]:
    words = ["sh", "-c", f"exec {shlex.join([*COMMAND, '-c', str(site.path)])} {redirection}"]
    if redirection != NO_READER:
        return subprocess.Popen(words, env=site.environment, cwd=ROOT)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.Popen([*COMMAND, "-c", str(site.path)], env=site.environment, cwd=ROOT, stderr=writer)
    finally:
        os.close(writer)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">&- 2>&-", NO_READER])
def test_a_bad_configuration_exits_with_78_even_if_stderr_cannot_be_written(sites: Sites, redirection: str) -> None:
    process = start(sites("servers: 5\nfunctions: 7\n"), redirection)
    assert process.wait(60) == 78


@pytest.mark.parametrize("redirection", ["2>/dev/full", "<&- >&- 2>&-", "2>&-", NO_READER])
def test_jobs_are_served_even_if_the_log_cannot_be_written(sites: Sites, gearmand: Gearmand, redirection: str) -> None:
    site = sites(configuration(gearmand.address))
    site.process = start(site, redirection)
    with Client(gearmand.address) as client:
        assert client.submit_job("record", b"abc", timeout=60) == b"cba"
    for number in range(3):
        # The descriptor is the given stream or /dev/null, never a pipe, page or socket of the daemon.
        target = Path(f"/proc/{site.process.pid}/fd/{number}").readlink()
        assert "memfd" not in str(target)
        assert "eventpoll" not in str(target)
    site.send(signal.SIGTERM)
    assert site.wait() == 0


def test_an_unread_log_pipe_blocks_neither_jobs_nor_signals(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address).replace("format: json", "format: json, jobs: true"))
    reader, writer = os.pipe()
    try:
        site.process = subprocess.Popen(
            [*COMMAND, "-c", str(site.path)], env=site.environment, cwd=ROOT, stdout=writer, stderr=writer
        )
        os.close(writer)
        with Client(gearmand.address) as client:
            for future in client.submit_many("record", [b"%d" % number for number in range(2000)]):
                future.result(60)
        site.send(signal.SIGTERM)
        assert site.wait() == 0
    finally:
        os.close(reader)
