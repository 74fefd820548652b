"""The Python examples of deploy/MIGRATING-CLIENTS.md, run as they stand there.

What follows a line's expression as a comment, if it is a Python literal, is what the expression must give.
"""

from __future__ import annotations

import ast
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.client import Client
from tests.client.conftest import Server
from tests.processes import wait_for

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy" / "MIGRATING-CLIENTS.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
WORKERS = [block for block in BLOCKS if ".run()\n" in block and "asyncio" not in block]
CLIENTS = [block for block in BLOCKS if block not in WORKERS]


def checking(block: str, address: str) -> str:
    """The program, with an assertion for each line whose value the page tells."""
    lines = []
    for line in block.replace("127.0.0.1:4730", address).splitlines():
        found = re.fullmatch(r"(\s*)(\S.*?)\s+# (.+)", line)
        if found and is_expression(found[2]) and is_literal(found[3]):
            lines.append(f"{found[1]}got = {found[2]}; checked += 1; assert got == {found[3]}, got")
        else:
            lines.append(line)
    return "\n".join(["checked = 0", *lines, "print(checked)", ""])


def is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return False
    return True


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
    argv = [sys.executable, "-W", "error", "-c", checking(block, server.address)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.stderr == ""
    assert int(done.stdout) == len([line for line in block.splitlines() if checked(line)])


def checked(line: str) -> bool:
    return bool((found := re.search(r"# (.+)", line)) and is_literal(found[1]))
