from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool import Client
from tests.integration.daemons import Site
from tests.processes import free_port, wait_for

MAIN = """
import json, sys
from gearpool.supervisor.daemon import Daemon
from gearpool.supervisor.options import Options
sys.exit(Daemon(Options(sys.argv[1], silent_kill_s=5.0)).run())
"""


class Embedded(Site):
    """A daemon with the embedded server, which it kills after 5 s without a heartbeat."""

    def start(self, *options: str) -> Embedded:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, str(self.path)], stderr=log, env=self.environment, process_group=0
            )
        return self


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    embed = f"{{listen: '127.0.0.1:{free_port()}', store: jobs.sqlite}}"
    site = Embedded(
        tmp_path / "site",
        f"servers: embedded\nembedded: {embed}\nlog: {{format: json}}\nfunctions: {{record: site_handlers.record}}\n",
    )
    yield site
    site.close()


def test_a_stopped_job_server_is_reported_killed_and_replaced_with_its_jobs(embedded: Embedded) -> None:
    embedded.start().until_serving()
    status = embedded.ask("status")
    (server,) = status["servers"]
    pid = status["jobserver"]["pid"]
    with Client(server) as client:
        client.submit_background_job("later", b"kept")
    os.kill(pid, signal.SIGSTOP)
    silent = wait_for(lambda: embedded.events("jobserver.silent"), "the silence to be logged")
    assert silent[0]["jobserver"] == pid
    assert "the embedded job server" in embedded.ask("ping")["problem"]
    wait_for(lambda: embedded.events("jobserver.killed"), "it to be killed")
    wait_for(lambda: len(embedded.events("jobserver.ready")) == 2, "another one")
    embedded.until_serving()
    assert embedded.ask("ping")["problem"] is None
    with Client(server) as client:
        assert client.submit_job("record", b"abc", timeout=30) == b"cba"
        (rows,) = client.admin.status().values()
        assert [row.total for row in rows if row.function == "later"] == [1]
    embedded.send(signal.SIGTERM)
    assert embedded.wait() == 0
