"""The Python examples of deploy/MIGRATING-CLIENTS.md, run as they stand there."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.client import Client
from tests.client.conftest import Server
from tests.deploy.documents import checking, count_of_values
from tests.processes import wait_for

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy" / "MIGRATING-CLIENTS.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
WORKERS = [block for block in BLOCKS if ".run()\n" in block and "asyncio" not in block]
CLIENTS = [block for block in BLOCKS if block not in WORKERS]


@pytest.fixture
def working(server: Server) -> Iterator[None]:
    """The page's workers, serving."""
    functions = set(re.findall(r'add_ability\("(\w+)"', "".join(WORKERS)))
    with contextlib.ExitStack() as stack:
        for block in WORKERS:
            program = block.replace("127.0.0.1:4730", server.address)
            process = stack.enter_context(subprocess.Popen([sys.executable, "-W", "error", "-c", program], cwd=ROOT))
            stack.callback(process.kill)
        with Client(server.address) as client:

            def served() -> bool:
                rows = client.admin.status()[server.address]
                return functions <= {row.function for row in rows if row.workers}

            wait_for(served, "the page's workers")
        yield


def test_the_page_has_examples_of_both_sides() -> None:
    assert (len(WORKERS), len(CLIENTS)) == (2, 2)


def test_the_workers_of_the_page_work(server: Server, working: None) -> None:
    with Client(server.address, job_timeout=20) as client:
        assert client.submit_job("count", "a\nb\n").strip() == b"2"
        future = client.submit("sort", "b\na\n")
        assert [event.data for event in future.events()] == [b"a\n", b"b\n"]  # type: ignore[union-attr]  # all are Data
        assert future.result() == b""


@pytest.mark.parametrize("block", CLIENTS, ids=range(len(CLIENTS)))
def test_the_clients_of_the_page_get_what_it_says(server: Server, working: None, block: str) -> None:
    argv = [sys.executable, "-W", "error", "-c", checking(block.replace("127.0.0.1:4730", server.address))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.stderr == ""
    assert int(done.stdout) == count_of_values(block)
