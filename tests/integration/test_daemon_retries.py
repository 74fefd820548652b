"""Many failing and retried jobs, with the daemon."""

from __future__ import annotations

import json

import pytest

from gearpool import Client, JobFailed
from tests.integration.conftest import Sites
from tests.integration.daemons import Site
from tests.processes import wait_for

UNSURE = """
import random, time

RUNS = {}

def unsure(arg, job):
    runs = RUNS[arg] = RUNS.get(arg, 0) + 1
    assert job.attempt == runs
    if runs <= int(arg) % 7:
        raise ValueError("again")
    return b"%d" % runs

def never(arg):
    raise ValueError("never")

def count(arg):
    return str(sum(RUNS.values()))
"""


def site_of(sites: Sites, server: str) -> Site:
    site = sites(
        f"servers: {server}\nlog: {{format: json, level: info}}\nfunctions:\n"
        "  unsure: {handler: unsure.unsure, on_error: retry, concurrency: 50,\n"
        "    retry: {attempts: 5, delay: 10ms, backoff: 1, jitter: 50%}}\n"
        "  never: {handler: unsure.never, on_error: retry, concurrency: 10,\n"
        "    retry: {attempts: 2, delay: 10m, max_waiting: 1000}}\n"
        "  count: unsure.count\n"
    )
    (site.folder / "unsure.py").write_text(UNSURE)
    return site.start().until_serving()


def test_10_000_failing_jobs_are_tried_as_often_as_configured_and_end_once(sites: Sites, server: str) -> None:
    site_of(sites, server)
    count = 10_000
    expected = [min(number % 7 + 1, 5) for number in range(count)]
    with Client(server) as client:
        futures = client.submit_many("unsure", [b"%d" % number for number in range(count)])
        for number, future in enumerate(futures):
            error = future.exception(100)
            if number % 7 < 5:
                assert future.result(1) == b"%d" % expected[number]
            else:
                assert type(error).__name__ == "JobFailed"
        assert client.submit_job("count", b"", timeout=30) == b"%d" % sum(expected)


def test_a_function_with_10_slots_keeps_working_while_1000_retries_wait(sites: Sites, server: str) -> None:
    site = site_of(sites, server)
    with Client(server) as client:
        list(client.submit_background_jobs("never", [b"%d" % number for number in range(995)]))
        wait_for(
            lambda: site.ask("status")["functions"]["never"]["waiting_retry"] == 995, "all to wait for their retry"
        )
        # Its slots are free: further jobs are grabbed and run immediately.
        list(client.submit_background_jobs("never", [b"more %d" % number for number in range(5)]))
        wait_for(lambda: site.ask("status")["functions"]["never"]["waiting_retry"] == 1000, "five more")
        assert client.submit_job("unsure", b"0", timeout=30) == b"1"


def test_a_failed_dead_letter_write_is_logged_once_and_the_job_fails_after_a_successful_write(
    sites: Sites, server: str
) -> None:
    site = sites(
        f"servers: {server}\nlog: {{format: json}}\nfunctions:\n"
        "  never: {handler: unsure.never, on_error: retry, retry: {attempts: 1, then: dead_letter},\n"
        "    dead_letter: {file: not-yet/letters.jsonl}}\n"
    )
    (site.folder / "unsure.py").write_text(UNSURE)
    site.start().until_serving()
    with Client(server) as client:
        job = client.submit("never", b"x")
        wait_for(lambda: site.events("dead_letter.failed"), "the write of the dead letter to fail")
        assert not job.done()
        (site.folder / "not-yet").mkdir()
        with pytest.raises(JobFailed):
            job.result(timeout=60)
    assert len(site.events("dead_letter.written")) == 1
    assert all(json.loads(line)["event"] for line in site.stderr().splitlines())
