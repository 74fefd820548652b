"""Failures and stalls as the daemon groups them, with real handlers, reloads and kills."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from gearpool import Client, JobException, JobFailed
from tests.integration.conftest import Sites
from tests.integration.daemons import Site
from tests.processes import wait_for

HANDLERS = """
import json, os, time

def raises(arg):
    return json.loads(arg)

def times_out(arg):
    time.sleep(60)

def spins(arg):
    while True:
        pass

def aborts(arg):
    from gearpool import Abort
    raise Abort("not today")

def skips(arg):
    raise ValueError("skipped")

def blocks(arg):
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        pass
    return b"done"

def in_c(arg):
    return sum(range(10 ** 11))

def exits(arg):
    os.abort()
"""

FUNCTIONS = """
  raises: {handler: failing.raises, report: exception}
  times_out: {handler: failing.times_out, timeout: 200ms}
  spins: {handler: failing.spins, timeout: 300ms}
  aborts: failing.aborts
  skips: {handler: failing.skips, on_error: skip}
  letters: {handler: failing.raises, on_error: retry, dead_letter: {file: dead.jsonl},
    retry: {attempts: 2, delay: 10ms, then: dead_letter}}
  blocks: failing.blocks
  in_c: {handler: failing.in_c, timeout: 300ms, timeout_grace: 100ms, poison: {kills: 1}}
  exits: {handler: failing.exits, poison: {kills: 1}}
"""


def site_of(sites: Sites, server: str) -> Site:
    site = sites(f"servers: {server}\nprocesses: 1\nlog: {{format: json}}\nfunctions:{FUNCTIONS}")
    (site.folder / "failing.py").write_text(HANDLERS)
    return site.start().until_serving()


def fail(server: str, function: str, payload: bytes = b"") -> None:
    with Client(server) as client, contextlib.suppress(JobFailed, JobException):
        client.submit_job(function, payload, timeout=60)


def groups(site: Site, kind: str = "failures") -> dict[str, dict[str, Any]]:
    """The last group of each function."""
    return {group["function"]: group for group in reversed(site.ask("failures")[kind])}


def test_failures_are_grouped_and_survive_a_reload_without_any_payload(sites: Sites, server: str) -> None:
    site = site_of(sites, server)
    secret = b'{"secret": 12345678'
    for _ in range(3):
        fail(server, "raises", secret)
    for function in ("times_out", "spins", "aborts", "letters"):
        fail(server, function, secret)
    with Client(server) as client:
        assert client.submit_job("skips", b"", timeout=60) == b""
    names = {"raises", "times_out", "spins", "aborts", "letters"}
    wait_for(lambda: set(groups(site)) == names and groups(site)["letters"]["count"] == 2, "the failures")
    found = groups(site)
    raises = found["raises"]
    assert (raises["exception"], raises["place"]) == ("json.decoder.JSONDecodeError", "failing.py:5 in raises")
    assert (raises["count"], raises["outcome"], raises["attempt"]) == (3, "exception", 1)
    assert "return json.loads(arg)" in raises["traceback"]
    assert (found["times_out"]["exception"], found["times_out"]["outcome"]) == ("gearpool.JobTimeout", "timeout")
    assert found["times_out"]["place"] == "failing.py:8 in times_out"
    assert (found["spins"]["exception"], found["spins"]["place"].rpartition(" ")[2]) == ("gearpool.JobTimeout", "spins")
    assert (found["aborts"]["exception"], found["aborts"]["message"]) == ("gearpool.Abort", "not today")
    assert (found["letters"]["outcome"], found["letters"]["attempt"]) == ("dead_letter", 2)
    assert "12345678" not in json.dumps(site.ask("failures"))
    assert site.gearpool("reload", "-c", str(site.path)).returncode == 0
    assert {name: group["id"] for name, group in groups(site).items()} == {n: g["id"] for n, g in found.items()}
    fail(server, "raises", secret)
    wait_for(lambda: groups(site)["raises"]["count"] == 4, "the failure in a new worker to be added to its group")

    table = site.gearpool("failures", "-c", str(site.path)).stdout
    assert "json.decoder.JSONDecodeError  failing.py:5 in raises" in table
    text = site.gearpool("failures", raises["id"], "-c", str(site.path)).stdout
    assert "4 times since" in text
    assert "Traceback (most recent call last):" in text
    only = json.loads(site.gearpool("failures", "--function", "aborts", "--json", "-c", str(site.path)).stdout)
    assert [group["function"] for group in only["failures"]] == ["aborts"]
    nothing = site.gearpool("failures", "ffffffff", "-c", str(site.path))
    assert (nothing.returncode, nothing.stdout) == (1, "")
    status = site.gearpool("status", "-c", str(site.path)).stdout
    assert "raises: json.decoder.JSONDecodeError at failing.py:5 in raises, 4 times, last" in status
    assert "stalls: spins 1" in status


def test_stalls_are_grouped_whether_they_end_or_their_process_is_killed(sites: Sites, server: str) -> None:
    site = site_of(sites, server)
    fail(server, "blocks")
    wait_for(lambda: "blocks" in groups(site, "stalls"), "the stall")
    stall = groups(site, "stalls")["blocks"]
    assert stall["place"].startswith("failing.py:")
    assert stall["place"].endswith(" in blocks")
    assert stall["longest_s"] >= 0.55
    assert stall["total_s"] == stall["longest_s"]
    assert "while time.monotonic() < end:" in stall["stack"] or "pass" in stall["stack"]
    status = site.ask("status")
    assert (status["stalls"], sum(status["stall_buckets"])) == ({"blocks": 1}, 1)
    assert status["stall_sum_s"] >= 0.55
    assert status["functions"]["blocks"]["stalls"] == 1

    fail(server, "in_c")  # its process is killed, and the next worker refuses it
    wait_for(lambda: len(groups(site)) == 1 and len(site.ask("failures")["failures"]) == 2, "both failures")
    killed = groups(site, "stalls")["in_c"]
    assert killed["place"] == "failing.py:28 in in_c"
    assert "most recent call first" in killed["stack"]
    assert killed["longest_s"] >= 0.8
    refused, blamed = site.ask("failures")["failures"]
    assert (blamed["exception"], blamed["place"]) == ("process killed: it was blocked", "failing.py:28 in in_c")
    assert (refused["exception"], refused["outcome"]) == ("poisoned job", "poisoned")
    status = site.ask("status")
    assert (status["stalls"], sum(status["stall_buckets"])) == ({"blocks": 1, "in_c": 1}, 2)
    assert status["restarts"] == {"stalled": 1}
    table = site.gearpool("failures", "--stalls", "-c", str(site.path)).stdout
    assert "failing.py:28 in in_c" in table


def test_a_job_that_crashes_its_process_is_a_failure_at_the_line_that_crashed(sites: Sites, server: str) -> None:
    site = site_of(sites, server)
    fail(server, "exits")
    wait_for(lambda: len(site.ask("failures")["failures"]) == 2, "the crash, and the refusal in the next worker")
    refused, crashed = site.ask("failures")["failures"]
    assert (crashed["exception"], crashed["place"]) == ("process killed by SIGABRT", "failing.py:31 in exits")
    assert (crashed["outcome"], refused["outcome"]) == ("requeued", "poisoned")
