"""Perl's `prefix` makes ``PREFIX<TAB>FUNCTION`` of each name; a configuration serves such names as any other."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gearpool.client import Client
from gearpool.config.loading import load
from tests.client.workers import ThreadWorker
from tests.conformance.conftest import serving
from tests.peers.programs import PEERS

CLIENT = """
use Gearman::Client;
my $client = Gearman::Client->new(prefix => 'dev');
$client->job_servers("127.0.0.1:$ARGV[0]");
print ${$client->do_task('foo', \\'data')};
"""


@pytest.mark.parametrize("kind", ["embedded", "gearmand"])
def test_a_perl_client_with_a_prefix_is_served(kind: str) -> None:
    PEERS["perl"].argv("client", 0)
    with serving(kind) as server:
        worker = ThreadWorker(f"127.0.0.1:{server.port}", {"dev\tfoo": lambda job: job.data.upper()})
        try:
            argv = ["perl", "-e", CLIENT, str(server.port)]
            assert subprocess.run(argv, capture_output=True, timeout=30, check=True).stdout == b"DATA"
            with Client(f"127.0.0.1:{server.port}") as client:
                assert client.submit_job("dev\tfoo", b"ours") == b"OURS"
        finally:
            worker.stop()


def test_the_configuration_accepts_such_a_name(tmp_path: Path) -> None:
    path = tmp_path / "workers.yaml"
    path.write_text(
        'servers: s:1\nfunctions: {"dev\\tfoo": gearpool.examples.reverse, two words: gearpool.examples.upper}\n'
    )
    settings = load([str(path)], None, {}).settings
    assert [each.name for each in settings.functions] == ["dev\tfoo", "two words"]
