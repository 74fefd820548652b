"""`gearpool status` with functions that always fail and one that blocks its worker."""

from __future__ import annotations

import subprocess
import sys

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import Site
from tests.processes import wait_for

HANDLERS = """
import time

def fail(arg):
    raise ValueError("never")

def block(arg):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass
"""


def status(site: Site, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gearpool", "status", "-c", str(site.path), *words],
        env=site.environment, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout


def when(site: Site, text: str) -> str:
    """Wait until the status contains ``text`` and return it."""
    seen: list[str] = []

    def look() -> bool:
        seen[:] = [status(site)]
        return text in seen[0]

    wait_for(look, f"the status to say {text!r}")
    return seen[0]


def row(text: str, name: str) -> list[str]:
    return next((line.split() for line in text.split("\n") if line.split()[:1] == [name]), [])


def test_status_shows_failing_functions_and_a_blocked_worker(sites: Sites, server: str) -> None:
    site = sites(
        f"servers: {server}\nstall_timeout: 10m\ndefaults: {{concurrency: 7}}\nfunctions:\n"
        "  letters: {handler: failing.fail, on_error: retry, dead_letter: {file: dead.jsonl},\n"
        "    retry: {attempts: 1, then: dead_letter}}\n"
        "  exceptions: {handler: failing.fail, report: exception}\n"
        "  retries: {handler: failing.fail, on_error: retry, retry: {attempts: 2, delay: 10m}}\n"
        "  breaks: {handler: failing.fail, breaker: {failures: 2, pause: 10m}}\n"
        "  blocks: failing.block\n"
    )
    (site.folder / "failing.py").write_text(HANDLERS)
    site.start().until_serving()
    with Client(server) as client:
        for function in ("letters", "exceptions", "breaks"):
            for _ in range(2):
                assert client.submit(function, b"").exception(30) is not None
        client.submit_background_job("retries", b"")
        wait_for(lambda: row(status(site), "retries")[4:5] == ["1"], "the waiting retry to be shown")
        text = when(site, "breaks: breaker open")
        for function in ("letters", "exceptions", "breaks"):
            assert row(text, function)[1:4] == ["0/7", "0", "2"], function
            assert row(text, function)[-1].startswith("<"), "a duration"
        assert "letters: 2 dead_letter" in text
        assert "exceptions: 2 exception" in text
        client.submit_background_job("blocks", b"")
        text = when(site, "has been blocked for")
        assert "by blocks H:" in text
        assert row(text, str(site.workers()[0]))[-2] != "0/100", "the job that blocks counts"
